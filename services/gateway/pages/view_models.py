"""Builds the view models of the billing page from its data: plan, meters, offers, previews, recharges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.gateway.pages.billing_data import AccountBalance, BillingPageData, CatalogIndex
from services.gateway.pages.i18n import Translations
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

Tone = Literal["good", "wait", "bad", "over"]
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
class Meter:
    """A limit or a balance of units, and how much of it is used."""

    feature: str
    name: str
    whose: str
    text: str
    used: int
    total: int | None
    """None: unlimited."""
    tone: Tone
    expires: str | None
    owed: str | None
    """What was used beyond the included units, with its price; None: nothing."""


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
    end = subscription.current_period_end
    status = subscription.status
    if status in ENDED:
        moment = subscription.ended_at or subscription.canceled_at or end
        return (
            translations.translate("plan.ended", date=translations.date(moment))
            if moment
            else translations.translate("plan.over")
        )
    if subscription.restricted:
        return translations.translate("plan.restricted")
    if status == "past_due" and subscription.grace_until is not None:
        return translations.translate("plan.grace", date=translations.date(subscription.grace_until))
    if subscription.cancel_at is not None:
        return translations.translate("plan.ending", date=translations.date(subscription.cancel_at))
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


def meters(data: BillingPageData, translations: Translations) -> list[Meter]:
    """Return a meter for every limit and balance of units that the customer may use."""
    return [_meter(account, data, translations) for account in data.balances if _is_relevant(account)]


def _is_relevant(account: AccountBalance) -> bool:
    balance = account.snapshot
    return balance.remaining is None or balance.remaining > 0 or bool(account.grants) or balance.consumed > 0


def _meter(account: AccountBalance, data: BillingPageData, translations: Translations) -> Meter:
    balance = account.snapshot
    left = balance.remaining
    if balance.kind == "limit":
        used, total = balance.consumed, None if left is None else balance.consumed + balance.reserved + left
        key = "meter.limit"
    else:
        with_units_left = sum(grant.quantity or 0 for grant in account.grants)
        total = None if left is None else max(account.total or with_units_left, left)
        used = balance.consumed if total is None or left is None else total - left
        key = "meter.units"
    values = {
        "used": translations.number(used),
        "left": translations.number(left or 0),
        "total": translations.number(total or 0),
    }
    return Meter(
        feature=balance.feature,
        name=data.catalog.feature_name(balance.feature),
        whose=owner_label(balance.account, data, translations),
        text=translations.translate(f"{key}.unlimited" if total is None else key, **values),
        used=used,
        total=total,
        tone="good" if left is None or left * 5 > (total or 0) else "wait" if left else "bad",
        expires=_soonest_end(account, translations),
        owed=_owed(account, translations),
    )


def _owed(account: AccountBalance, translations: Translations) -> str | None:
    if account.overage is None:
        return None
    return translations.translate(
        "meter.owed",
        units=translations.number(account.overage.quantity),
        amount=translations.price(account.overage.amount),
    )


def _soonest_end(account: AccountBalance, translations: Translations) -> str | None:
    ends = [grant.expires_at for grant in account.grants if grant.expires_at is not None]
    return (
        translations.translate("meter.expires", date=translations.date(min(ends)))
        if ends and account.snapshot.kind != "limit"
        else None
    )


def owner_label(account: str, data: BillingPageData, translations: Translations) -> str:
    """Describe the owner of an account: the customer, the person, the team or a seat."""
    kind, _, identifier = account.partition(":")
    if kind == "customer":
        is_own = identifier == data.caller.customer.token
        return translations.translate("account.customer" if is_own else "account.person")
    return translations.translate("account.team" if kind == "team" else "account.seat")


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
    team = f"team:{data.team.team_id}" if data.team else None
    paid_for = {f"customer:{data.caller.customer.token}", team}
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
