"""What the billing page says of a plan, units, a team and money: pure functions of what was gathered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.gateway.pages.billing_data import AccountBalance, CatalogListing, Gathered
from services.gateway.pages.i18n import Words
from services.gateway.pages.price_text import as_typed, cost_of
from tallystick.messages.catalog import Product, ProductFeature, ProductWithPrices
from tallystick.messages.consumables import AutoRechargeSnapshot
from tallystick.messages.subscriptions import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    ChangePreview,
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
    """The plan as the page's first card shows it."""

    name: str
    price: str
    tone: Tone
    status: str
    next_date: str
    scheduled: str | None
    is_over: bool
    is_charged: bool
    """Whether there will be a next invoice."""
    subscription_id: str
    may_change: bool
    may_cancel: bool
    may_reactivate: bool


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit or a number of units, and how much of it is used."""

    feature: str
    name: str
    whose: str
    text: str
    used: int
    total: int | None
    """Null: unlimited."""
    tone: Tone
    expires: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan or an add-on at one price."""

    price: str
    product: str
    name: str
    description: str | None
    cost: str
    features: list[str]
    is_current: bool
    is_free: bool
    seats: tuple[int, int] | None
    """The fewest and the most seats; null on products without a team."""
    details: list[str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice, in words."""

    description: str
    amount: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What a change costs, in words."""

    due_now: str
    next_invoice: str
    is_due_now: bool
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class RechargeView:
    """How an account buys more of a feature by itself."""

    account: str
    feature: str
    name: str
    whose: str
    unit_price: str
    rule: AutoRechargeSnapshot | None
    spent: str | None
    cap: str
    """The most to be spent, as people type it; empty: no bound."""
    currency: str


def plan_view(gathered: Gathered, words: Words) -> PlanView | None:
    """The customer's plan; None where they have none."""
    subscription = gathered.subscription
    if subscription is None:
        return None
    item = subscription.items[0] if subscription.items else None
    product = gathered.shelf.product(item.product) if item else None
    price = gathered.shelf.price(item.price) if item else None
    is_over = subscription.status in ENDED
    is_ending = subscription.cancel_at_period_end and subscription.status in CHANGEABLE
    allowed = gathered.may_change and not is_over
    return PlanView(
        name=product.name if product else words.say("plan.unnamed"),
        price=cost_of(price, words, item.quantity if item else 1) if price else "",
        tone="bad" if subscription.restricted else "wait" if is_ending else TONES[subscription.status],
        status=words.say("status.ending") if is_ending else words.code("status", subscription.status),
        next_date=_next_date(subscription, words),
        scheduled=_scheduled(subscription, gathered.shelf, words),
        is_over=is_over,
        is_charged=not is_over and subscription.status != "paused",
        subscription_id=subscription.subscription_id,
        may_change=allowed and subscription.status in CHANGEABLE,
        may_cancel=allowed and not subscription.cancel_at_period_end,
        may_reactivate=allowed and subscription.cancel_at_period_end,
    )


def _next_date(subscription: SubscriptionSnapshot, words: Words) -> str:
    end = subscription.current_period_end
    status = subscription.status
    if status in ENDED:
        moment = subscription.ended_at or subscription.canceled_at or end
        return words.say("plan.ended", date=words.date(moment)) if moment else words.say("plan.over")
    if subscription.restricted:
        return words.say("plan.restricted")
    if status == "past_due" and subscription.grace_until is not None:
        return words.say("plan.grace", date=words.date(subscription.grace_until))
    if subscription.cancel_at_period_end and end is not None:
        return words.say("plan.ending", date=words.date(end))
    if status == "trialing" and subscription.trial_end is not None:
        return words.say("plan.trial", date=words.date(subscription.trial_end))
    if status == "active" and end is not None:
        return words.say("plan.renews", date=words.date(end))
    return words.say(f"plan.{status}")


def _scheduled(subscription: SubscriptionSnapshot, shelf: CatalogListing, words: Words) -> str | None:
    change = subscription.scheduled_change
    if change is None:
        return None
    product = shelf.product(change.product)
    name, date = product.name if product else change.product, words.date(change.at)
    if product is None or product.seats is None:
        return words.say("plan.scheduled", name=name, date=date)
    count = change.quantity
    return words.say("plan.scheduled_seats", count=count, number=words.number(count), name=name, date=date)


def meters(gathered: Gathered, words: Words) -> list[Meter]:
    """Every limit and unit that the customer may draw on."""
    return [_meter(one, gathered, words) for one in gathered.balances if _is_worth_showing(one)]


def _is_worth_showing(one: AccountBalance) -> bool:
    balance = one.snapshot
    return balance.remaining is None or balance.remaining > 0 or bool(one.grants) or balance.consumed > 0


def _meter(one: AccountBalance, gathered: Gathered, words: Words) -> Meter:
    balance = one.snapshot
    left = balance.remaining
    if balance.kind == "limit":
        used, total = balance.consumed, None if left is None else balance.consumed + balance.reserved + left
        key = "meter.limit"
    else:
        given = [grant.quantity for grant in one.grants if grant.quantity is not None]
        total = None if left is None else max(sum(given), left)
        used = balance.consumed if total is None or left is None else total - left
        key = "meter.units"
    values = {"used": words.number(used), "left": words.number(left or 0), "total": words.number(total or 0)}
    return Meter(
        feature=balance.feature,
        name=gathered.shelf.feature_name(balance.feature),
        whose=whose(balance.account, gathered, words),
        text=words.say(f"{key}.unlimited" if total is None else key, **values),
        used=used,
        total=total,
        tone="good" if left is None or left * 5 > (total or 0) else "wait" if left else "bad",
        expires=_soonest_end(one, words),
    )


def _soonest_end(one: AccountBalance, words: Words) -> str | None:
    ends = [grant.expires_at for grant in one.grants if grant.expires_at is not None]
    return (
        words.say("meter.expires", date=words.date(min(ends)))
        if ends and one.snapshot.kind != "limit"
        else None
    )


def whose(account: str, gathered: Gathered, words: Words) -> str:
    """Whose units an account holds, in words."""
    kind, _, identifier = account.partition(":")
    if kind == "customer":
        is_own = identifier == gathered.caller.customer.token
        return words.say("account.customer" if is_own else "account.person")
    return words.say("account.team" if kind == "team" else "account.seat")


def offers(
    products: list[ProductWithPrices], shelf: CatalogListing, words: Words, current: str | None = None
) -> list[Offer]:
    """What can be bought, one offer a price."""
    return [
        Offer(
            price=price.code,
            product=product.code,
            name=product.name,
            description=product.description,
            cost=cost_of(price, words),
            features=[_given(feature, product, shelf, words) for feature in product.features],
            is_current=price.code == current,
            is_free=price.model == "free",
            seats=(product.seats.minimum, product.seats.maximum or 100_000) if product.seats else None,
            details=product.required_details,
        )
        for product in products
        for price in product.prices
    ]


def _given(feature: ProductFeature, product: Product, shelf: CatalogListing, words: Words) -> str:
    known = shelf.feature(feature.feature)
    name = shelf.feature_name(feature.feature)
    for_whom = ""
    if product.seats is not None:
        strategy = product.seats.strategy if feature.team_allowed else "payer"
        for_whom = f" ({words.say(f'offer.{strategy}')})"
    if known is None or known.kind == "flag":
        return name if feature.team_allowed else name + for_whom
    quantity = feature.quantity
    amount = words.say("offer.unlimited") if quantity is None else words.number(quantity)
    rhythm = f" {words.say(f'price.every.{feature.every}')}" if feature.every else ""
    return f"{name}: {amount}{rhythm}{for_whom}"


def preview_view(preview: ChangePreview, words: Words) -> PreviewView:
    """What a change costs, line by line as it will be invoiced."""
    currency = preview.next_invoice.currency
    return PreviewView(
        due_now=words.price(preview.due_now),
        next_invoice=words.price(preview.next_invoice),
        is_due_now=preview.due_now.amount > 0,
        lines=[Line(line.description or "–", words.money(line.amount, currency)) for line in preview.lines],
    )


def recharges(gathered: Gathered, words: Words) -> list[RechargeView]:
    """What can be bought more of by itself, for the accounts that the customer pays for."""
    plan = gathered.subscription
    if gathered.is_a_guest or (plan is not None and plan.status in ENDED):
        return []
    team = f"team:{gathered.team.team_id}" if gathered.team else None
    paid_for = {f"customer:{gathered.caller.customer.token}", team}
    views = []
    for one in gathered.balances:
        account, code = one.snapshot.account, one.snapshot.feature
        feature = gathered.shelf.feature(code)
        if feature is None or feature.unit_price is None or account not in paid_for:
            continue
        rule = gathered.recharges.get((account, code))
        cap = rule.max_spend_per_period if rule else None
        views.append(
            RechargeView(
                account=account,
                feature=code,
                name=feature.name,
                whose=whose(account, gathered, words),
                unit_price=words.price(feature.unit_price),
                rule=rule,
                spent=words.price(rule.spent) if rule else None,
                cap=as_typed(cap, words) if cap else "",
                currency=feature.unit_price.currency,
            )
        )
    return views
