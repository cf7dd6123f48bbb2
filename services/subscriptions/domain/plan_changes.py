"""Deciding whether a change of plan or quantity is rejected, already in place, made now, or scheduled."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from services.subscriptions.domain.billing_periods import BillingInterval, billing_interval
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.negotiated_price import NEGOTIATED, negotiated_price
from services.subscriptions.domain.orders import quantity_bounds
from services.subscriptions.domain.pricing import yearly_amount
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import Price, Product
from tallystick.messages.subscriptions import CHANGEABLE_STATUSES, SubscriptionItem, When


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """The requested change; None keeps the current value or applies the default rule."""

    price: str | None
    quantity: int | None
    when: When | None


@dataclass(frozen=True, slots=True)
class SeatsInUse:
    """The seats that cannot be sold back, as the events of teams tell them."""

    occupied: int = 0
    """Assigned, or in use on machines, whichever are more."""
    members_reported: int = 0
    """Those that the machines of the license report."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """The decided change.

    `nothing`: it is in place or scheduled already. `unschedule`: the scheduled change is dropped, because the
    request is for the current price and quantity.
    """

    how: Literal["nothing", "unschedule", "now", "period_end"]
    item: SubscriptionItem
    price: Price
    product: Product
    quantity: int
    is_restart: bool
    """Whether the new price has periods of another length, so that the change starts a new period."""

    @property
    def every(self) -> BillingInterval:
        """The length of the new price's billing period."""
        return billing_interval(self.price)

    @property
    def keeps_negotiated_price(self) -> bool:
        """Whether only the quantity changes, at a price that the catalog does not have."""
        return self.price.code == NEGOTIATED and self.item.price is None

    @property
    def price_code(self) -> str | None:
        """The new price's code; None: the catalog does not have it."""
        return None if self.keeps_negotiated_price else self.price.code


class _CurrentTerms:
    """The terms that an item has now, at a price of the catalog or at one that only Stripe has.

    Raises RuleViolation `unknown_price` if neither is known.
    """

    def __init__(self, catalog: CatalogLookup, item: SubscriptionItem) -> None:
        self.price = catalog.price(item.price) if item.price is not None else None
        terms = self.price or item.custom_price
        if terms is None:
            raise RuleViolation(
                "unknown_price", "The subscription is at a price that the catalog does not know."
            )
        self.is_free = self.price is not None and self.price.model == "free"
        self.currency = terms.currency
        self.every = billing_interval(terms)
        self.unit_amount = terms.unit_amount
        self.quantity = item.quantity

    def has_interval_of(self, price: Price) -> bool:
        """Whether a change to a price of the catalog keeps the billing period."""
        return self.every == billing_interval(price)

    def yearly_amount(self) -> Fraction | None:
        """Return the amount for a year; None: unknown, because the price has tiers in Stripe."""
        if self.price is not None:
            return yearly_amount(self.price, self.quantity)
        if self.unit_amount is None:
            return None
        return self.unit_amount * self.quantity * self.every.periods_a_year


def decide_change(
    catalog: CatalogLookup, state: State, request: ChangeRequest, in_use: SeatsInUse
) -> PlanChange:
    """Decide what a requested change means for a subscription.

    Raises RuleViolation `subscription_not_active`, `unknown_price`, `same_price`, `quantity_out_of_range`,
    `seats_in_use`, and `invalid_message` for a price that cannot be on this subscription.
    """
    if state.status not in CHANGEABLE_STATUSES:
        raise RuleViolation(
            "subscription_not_active", f"The subscription is {state.status}.", status=state.status
        )
    item = find_plan_item(catalog, state, request.price)
    current = _CurrentTerms(catalog, item)
    price = _requested_price(catalog, current.price or negotiated_price(item), request.price)
    product = catalog.product_of(price)
    quantity = _requested_quantity(price, product, item, request)
    is_restart = not current.has_interval_of(price)
    change = PlanChange("now", item, price, product, quantity, is_restart)
    if (change.price_code, quantity) == (item.price, item.quantity):
        return _already_current(state, change, request)
    _check_compatibility(catalog, state, item, current, price)
    _check_quantity(price, product, quantity)
    _check_seats_in_use(in_use, item, product, quantity)
    when = request.when or _default_time(state, change, current)
    return change if when == "now" else _at_period_end(state, change)


def _already_current(state: State, change: PlanChange, request: ChangeRequest) -> PlanChange:
    if state.scheduled_change is not None:
        return _with_how(change, "unschedule")
    if request.price is not None:
        raise RuleViolation(
            "same_price", f"The subscription is at {change.price.code!r} already.", price=change.price.code
        )
    return _with_how(change, "nothing")


def _at_period_end(state: State, change: PlanChange) -> PlanChange:
    if state.cancel_at_period_end:
        raise RuleViolation(
            "subscription_not_active",
            "The subscription ends with this period; reactivate it first, or change it now.",
            status=state.status,
            cancel_at_period_end=True,
        )
    waiting = state.scheduled_change
    if waiting is not None and (waiting.price, waiting.quantity) == (change.price_code, change.quantity):
        return _with_how(change, "nothing")
    return _with_how(change, "period_end")


def _default_time(state: State, change: PlanChange, current: _CurrentTerms) -> When:
    """Make an upgrade now and a downgrade at the period's end; in a trial, make either now."""
    if state.status == "trialing":
        return "now"
    if change.keeps_negotiated_price:
        return "period_end" if change.quantity < change.item.quantity else "now"
    new, old = change.every.periods_a_year, current.every.periods_a_year
    if change.product.code == change.item.product and new != old:
        return "now" if new < old else "period_end"
    before = current.yearly_amount()
    is_less = before is not None and yearly_amount(change.price, change.quantity) < before
    return "period_end" if is_less else "now"


def find_plan_item(catalog: CatalogLookup, state: State, wanted: str | None) -> SubscriptionItem:
    """Return the item of the requested product, else the only plan, else the plan with seats."""
    price = catalog.price(wanted) if wanted is not None else None
    same = [item for item in state.items if price is not None and item.product == price.product]
    plans = [item for item in state.items if _is_plan(catalog, item)]
    seated = [item for item in plans if item.seats is not None]
    for candidates in (same, plans, seated):
        if len(candidates) == 1:
            return candidates[0]
    raise RuleViolation(
        "invalid_message",
        "It is not clear which item of the subscription is meant." if plans else "It is not for a plan.",
        items=[item.price for item in state.items],
    )


def _is_plan(catalog: CatalogLookup, item: SubscriptionItem) -> bool:
    product = catalog.product(item.product) if item.product is not None else None
    return product is not None and product.kind == "plan"


def _requested_price(catalog: CatalogLookup, current: Price | None, code: str | None) -> Price:
    if code is None:
        if current is None:
            raise RuleViolation(
                "unknown_price",
                "The subscription is at a price of Stripe's whose terms are not known. "
                "Change its quantity there, or name a price of the catalog.",
            )
        return current
    if current is not None and code == current.code and code != NEGOTIATED:
        # The current price may be archived: the quantity can still be changed.
        return current
    price = catalog.price(code)
    if price is None or price.archived or catalog.product_of(price).kind != "plan":
        raise RuleViolation("unknown_price", f"The catalog sells no plan at {code!r}.", price=code)
    return price


def _requested_quantity(
    price: Price, product: Product, item: SubscriptionItem, request: ChangeRequest
) -> int:
    """Return the requested quantity, else the current one as far as the new price allows it."""
    if request.quantity is not None:
        return request.quantity
    minimum, maximum = quantity_bounds(price, product)
    return minimum if minimum == maximum else max(item.quantity, minimum)


def _check_compatibility(
    catalog: CatalogLookup, state: State, item: SubscriptionItem, current: _CurrentTerms, price: Price
) -> None:
    if (price.model == "free") != current.is_free:
        how = (
            "Cancel this subscription, then create_subscription."
            if price.model == "free"
            else "Use start_checkout."
        )
        raise RuleViolation(
            "unknown_price",
            f"A subscription cannot change between free and paid prices. {how}",
            price=price.code,
        )
    if None not in (price.currency, current.currency) and price.currency != current.currency:
        raise RuleViolation(
            "invalid_message",
            "A subscription keeps its currency.",
            price=price.code,
            currency=current.currency,
        )
    if len(state.items) > 1 and not current.has_interval_of(price):
        raise RuleViolation(
            "invalid_message",
            "All prices of one subscription share an interval.",
            prices=[item.price for item in state.items],
        )


def _check_quantity(price: Price, product: Product, quantity: int) -> None:
    minimum, maximum = quantity_bounds(price, product)
    if not minimum <= quantity <= maximum:
        raise RuleViolation(
            "quantity_out_of_range",
            f"{price.code!r} is sold from {minimum} to {maximum} at a time.",
            price=price.code,
            quantity=quantity,
            minimum=minimum,
            maximum=maximum,
        )


def _check_seats_in_use(in_use: SeatsInUse, item: SubscriptionItem, product: Product, quantity: int) -> None:
    # A larger quantity is always allowed, even if the one set in Stripe is below the occupied seats.
    too_few = quantity < min(in_use.occupied, item.quantity)
    if not in_use.occupied or (product.seats is not None and not too_few):
        return
    where = "in use on machines" if in_use.members_reported == in_use.occupied else "taken"
    raise RuleViolation(
        "seats_in_use",
        f"{in_use.occupied} seats are {where}. Free some first.",
        occupied=in_use.occupied,
        members_reported=in_use.members_reported,
        quantity=quantity,
    )


def _with_how(change: PlanChange, how: Literal["nothing", "unschedule", "period_end"]) -> PlanChange:
    return PlanChange(how, change.item, change.price, change.product, change.quantity, change.is_restart)
