"""Builds the view models of the billing page from its data: plan, offers, previews, recharges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.gateway.pages.billing_data import BillingPageData
from services.gateway.pages.billing_parts import CatalogIndex, paid_accounts
from services.gateway.pages.i18n import Translations
from services.gateway.pages.meters import Tone, owner_label
from services.gateway.pages.price_text import format_amount_input, format_custom_price, format_price
from services.gateway.pages.tax_text import AmountRow, price_note, tax_notes, total_rows
from tallystick.messages.catalog import Price, Product, ProductFeature, ProductWithPrices
from tallystick.messages.consumables import AutoRechargeSnapshot
from tallystick.messages.subscriptions import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    ChangePreview,
    SubscriptionItem,
    SubscriptionSnapshot,
)

TONES: Mapping[str, Tone] = {
    "active": "good",
    "trialing": "good",
    "incomplete": "wait",
    "paused": "wait",
    "past_due": "bad",
    "unpaid": "bad",
    "canceled": "over",
    "expired": "over",
}
ENDED = FINAL_STATUSES
CHANGEABLE = CHANGEABLE_STATUSES
KEEPING = ("trialing", "active")
"""Statuses in which nothing but its end is to be said of a plan that ends."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """The customer's plan, as the page's first card shows it."""

    name: str
    price: str
    tone: Tone
    status: str
    next_date: str
    scheduled: str | None
    is_over: bool
    is_charged: bool
    """Whether there is an upcoming invoice."""
    subscription_id: str
    may_change: bool
    may_cancel: bool
    may_reactivate: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan or an add-on at one price."""

    price: str
    product: str
    name: str
    description: str | None
    cost: str
    tax: str | None
    """What the price says of tax: added, or included."""
    features: list[str]
    is_current: bool
    is_free: bool
    seats: tuple[int, int] | None
    """The minimum and maximum number of seats; None for products without seats."""
    details: list[str]


@dataclass(frozen=True, slots=True)
class InvoiceLineView:
    """A line of an invoice, with its amount formatted."""

    description: str
    amount: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """The cost of a change, with amounts formatted."""

    due_now: str
    next_invoice: str
    is_due_now: bool
    lines: list[InvoiceLineView]
    totals: list[AmountRow]
    """Discount, net amount and taxes; empty if the lines alone make the total."""
    notes: list[str]
    units: list[str] = field(default_factory=list)
    """What happens to units."""


@dataclass(frozen=True, slots=True)
class RechargeView:
    """The auto-recharge of a feature for one account."""

    account: str
    feature: str
    name: str
    whose: str
    unit_price: str
    rule: AutoRechargeSnapshot | None
    spent: str | None
    cap: str
    """The maximum to spend, formatted for a form field; empty: no maximum."""
    currency: str
    tax: str | None = None
    """What the price says of tax: added, or included."""


def plan_view(data: BillingPageData, translations: Translations) -> PlanView | None:
    """Return the view of the customer's plan, or None if they have no subscription."""
    subscription = data.subscription
    if subscription is None:
        return None
    item = subscription.items[0] if subscription.items else None
    product = data.catalog.product(item.product) if item else None
    price = data.catalog.price(item.price) if item else None
    is_over = subscription.status in ENDED
    is_ending = subscription.cancel_at is not None and subscription.status in CHANGEABLE
    allowed = data.may_change and not is_over
    return PlanView(
        name=product.name if product else translations.translate("plan.unnamed"),
        price=_price_text(item, price, translations),
        tone="bad" if subscription.restricted else "wait" if is_ending else TONES[subscription.status],
        status=translations.translate("status.ending")
        if is_ending
        else translations.label("status", subscription.status),
        next_date=_next_date(subscription, translations),
        scheduled=_scheduled(subscription, data.catalog, translations),
        is_over=is_over,
        is_charged=not is_over and subscription.status != "paused",
        subscription_id=subscription.subscription_id,
        may_change=allowed and subscription.status in CHANGEABLE,
        may_cancel=allowed and not subscription.cancel_at_period_end,
        may_reactivate=allowed and subscription.cancel_at is not None,
    )


def _price_text(item: SubscriptionItem | None, price: Price | None, translations: Translations) -> str:
    if item is None:
        return ""
    if price is not None:
        return format_price(price, translations, item.quantity)
    return format_custom_price(item.custom_price, item.quantity, translations) if item.custom_price else ""


def _next_date(subscription: SubscriptionSnapshot, translations: Translations) -> str:
    status = subscription.status
    if status in ENDED:
        moment = subscription.ended_at or subscription.canceled_at or subscription.current_period_end
        return (
            translations.translate("plan.ended", date=translations.date(moment))
            if moment
            else translations.translate("plan.over")
        )
    ends_at = subscription.cancel_at
    if ends_at is None:
        return _standing(subscription, translations)
    if status in KEEPING and not subscription.restricted:
        return translations.translate("plan.ending", date=translations.date(ends_at))
    ending = translations.translate("plan.ends_on", date=translations.date(ends_at))
    return f"{_standing(subscription, translations)} {ending}"


def _standing(subscription: SubscriptionSnapshot, translations: Translations) -> str:
    """Say what is next for a plan, apart from its end."""
    end, status = subscription.current_period_end, subscription.status
    if subscription.restricted:
        return translations.translate("plan.restricted")
    if status == "past_due" and subscription.grace_until is not None:
        return translations.translate("plan.grace", date=translations.date(subscription.grace_until))
    if status == "trialing" and subscription.trial_end is not None:
        return translations.translate("plan.trial", date=translations.date(subscription.trial_end))
    if status == "active" and end is not None:
        return translations.translate("plan.renews", date=translations.date(end))
    return translations.translate(f"plan.{status}")


def _scheduled(
    subscription: SubscriptionSnapshot, catalog: CatalogIndex, translations: Translations
) -> str | None:
    change = subscription.scheduled_change
    if change is None:
        return None
    product = catalog.product(change.product)
    unnamed = change.product or translations.translate("plan.unnamed")
    name, date = product.name if product else unnamed, translations.date(change.at)
    if product is None or product.seats is None:
        return translations.translate("plan.scheduled", name=name, date=date)
    count = change.quantity
    return translations.translate(
        "plan.scheduled_seats", count=count, number=translations.number(count), name=name, date=date
    )


def offers(
    products: list[ProductWithPrices],
    catalog: CatalogIndex,
    translations: Translations,
    current: str | None = None,
) -> list[Offer]:
    """Return the offers of products, one for each price."""
    return [
        Offer(
            price=price.code,
            product=product.code,
            name=product.name,
            description=product.description,
            cost=format_price(price, translations),
            tax=price_note(price, catalog.catalog.tax_rates, translations),
            features=[_feature_text(feature, product, catalog, translations) for feature in product.features],
            is_current=price.code == current,
            is_free=price.model == "free",
            seats=(product.seats.minimum, product.seats.maximum or 100_000) if product.seats else None,
            details=product.required_details,
        )
        for product in products
        for price in product.prices
    ]


def plan_ends_at(data: BillingPageData) -> datetime | None:
    """Return when the plan is set to end, and the add-ons with it; None if it goes on or has ended."""
    plan = data.subscription
    return plan.cancel_at if plan is not None and plan.status not in ENDED else None


def owned_add_ons(data: BillingPageData) -> set[str]:
    """Return the prices of add-ons that the customer has and of which a second one would add nothing."""
    held = {add_on.product for add_on in data.add_ons if add_on.status not in ENDED}
    sold = (product for product in data.catalog.add_ons if product.code in held)
    once = (price for product in sold if _is_flag(product, data) for price in product.prices)
    return {price.code for price in once if price.model in ("flat", "free")}


def _is_flag(product: Product, data: BillingPageData) -> bool:
    features = (data.catalog.feature(given.feature) for given in product.features)
    return not product.required_details and all(found is None or found.kind == "flag" for found in features)


def _feature_text(
    feature: ProductFeature, product: Product, catalog: CatalogIndex, translations: Translations
) -> str:
    known = catalog.feature(feature.feature)
    name = catalog.feature_name(feature.feature)
    for_whom = ""
    if product.seats is not None:
        strategy = product.seats.strategy if feature.team_allowed else "payer"
        for_whom = f" ({translations.translate(f'offer.{strategy}')})"
    if known is None or known.kind == "flag":
        return name if feature.team_allowed else name + for_whom
    quantity = feature.quantity
    amount = translations.translate("offer.unlimited") if quantity is None else translations.number(quantity)
    rhythm = f" {translations.translate(f'price.every.{feature.every}')}" if feature.every else ""
    return f"{name}: {amount}{rhythm}{for_whom}"


def preview_view(
    preview: ChangePreview, translations: Translations, units: Iterable[str] = ()
) -> PreviewView:
    """Return the view of a change's cost, with the lines that will be invoiced and sentences about units."""
    currency = preview.next_invoice.currency
    return PreviewView(
        due_now=translations.price(preview.due_now),
        next_invoice=translations.price(preview.next_invoice),
        is_due_now=preview.due_now.amount > 0,
        lines=[
            InvoiceLineView(line.description or "–", translations.money(line.amount, currency))
            for line in preview.lines
        ],
        totals=total_rows(preview.totals, currency, translations) if preview.totals else [],
        notes=tax_notes(preview.totals, translations) if preview.totals else [],
        units=list(units),
    )


def recharges(data: BillingPageData, translations: Translations) -> list[RechargeView]:
    """Return the auto-recharge of each feature sold by unit, for the accounts the customer pays for."""
    plan = data.subscription
    if data.is_a_guest or (plan is not None and plan.status in ENDED):
        return []
    paid_for = paid_accounts(data.caller, data.team)
    views = []
    for balance in data.balances:
        account, code = balance.snapshot.account, balance.snapshot.feature
        feature = data.catalog.feature(code)
        if feature is None or feature.unit_price is None or account not in paid_for:
            continue
        rule = data.recharges.get((account, code))
        cap = rule.max_spend_per_period if rule else None
        views.append(
            RechargeView(
                account=account,
                feature=code,
                name=feature.name,
                whose=owner_label(account, data, translations),
                unit_price=translations.price(feature.unit_price),
                tax=price_note(feature, data.catalog.catalog.tax_rates, translations),
                rule=rule,
                spent=translations.price(rule.spent) if rule else None,
                cap=format_amount_input(cap, translations) if cap else "",
                currency=feature.unit_price.currency,
            )
        )
    return views
