"""A team's terms and its capacity: how many seats there are, how many are taken, how many may still be."""

from dataclasses import dataclass
from typing import Literal

from services.seats.domain.rule_violation import RuleViolation
from tallystick.messages.base import Customer
from tallystick.messages.catalog import OwnerSeat, SeatStrategy
from tallystick.messages.subscriptions import SubscriptionItem, SubscriptionSnapshot

TargetState = Literal["none", "open", "suspended", "closed"]
"""What a subscription's state means for its team; `none`: it has not begun, so nothing changes."""

_TARGET_STATES: dict[str, TargetState] = {
    "incomplete": "none",
    "trialing": "open",
    "active": "open",
    "past_due": "open",
    "unpaid": "suspended",
    "paused": "suspended",
    "canceled": "closed",
    "expired": "closed",
}


@dataclass(frozen=True, slots=True)
class SeatTerms:
    """What a team is sold with."""

    strategy: SeatStrategy
    owner_seat: OwnerSeat
    quantity: int
    """Seats bought."""
    minimum: int
    maximum: int | None
    scheduled_quantity: int | None
    """Seats from the end of the period on; None: no other number is scheduled."""

    @property
    def capacity(self) -> int:
        """Seats bought, and the owner's where it is free."""
        return self.quantity + (self.owner_seat == "free")

    @property
    def owners(self) -> int:
        """Seats that the owner takes, free or not."""
        return int(self.owner_seat != "none")


def target_state_of(subscription: SubscriptionSnapshot) -> TargetState:
    """What a subscription's state means for its team."""
    target = _TARGET_STATES[subscription.status]
    return "suspended" if target == "open" and subscription.restricted else target


def seat_terms_of(subscription: SubscriptionSnapshot) -> SeatTerms | None:
    """What its team is sold with; None where nothing on it has seats."""
    item = item_with_seats(subscription)
    if item is None or item.seats is None:
        return None
    change = subscription.scheduled_change
    waits = change is not None and change.product == item.product and change.quantity != item.quantity
    return SeatTerms(
        strategy=item.seats.strategy,
        owner_seat=item.seats.owner_seat,
        quantity=item.quantity,
        minimum=item.seats.minimum,
        maximum=item.seats.maximum,
        scheduled_quantity=change.quantity if change is not None and waits else None,
    )


def item_with_seats(subscription: SubscriptionSnapshot) -> SubscriptionItem | None:
    """The item that has seats: the first, as only one plan can be on a subscription."""
    return next((item for item in subscription.items if item.seats is not None), None)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many seats are taken of how many."""

    terms: SeatTerms
    holders: int
    """Pending and claimed seats."""
    requested_quantity: int | None = None
    """The number of seats that is being asked for from the subscription; None: none is."""

    @property
    def occupied(self) -> int:
        """Pending and claimed seats, and the owner's."""
        return self.holders + self.terms.owners

    @property
    def seats_in_use(self) -> int:
        """Those of the seats bought that are taken."""
        return self.holders + (self.terms.owner_seat == "billed")

    @property
    def available(self) -> int:
        """How many can be assigned: the fewest seats that are bought, asked for or scheduled count."""
        numbers = (self.terms.quantity, self.requested_quantity, self.terms.scheduled_quantity)
        fewest = min(number for number in numbers if number is not None)
        return max(0, fewest - self.seats_in_use)

    @property
    def excess(self) -> int:
        """Seats that are taken beyond the capacity, because the subscription was lowered elsewhere."""
        return max(0, self.occupied - self.terms.capacity)


def require_valid_quantity(capacity: Capacity, quantity: int) -> None:
    """Refuse a number of seats that is not sold, or is less than what is taken."""
    terms = capacity.terms
    if quantity < terms.minimum or (terms.maximum is not None and quantity > terms.maximum):
        raise RuleViolation(
            "quantity_out_of_range",
            f"Between {terms.minimum} and {terms.maximum or 'any number of'} seats are sold.",
            quantity=quantity,
            minimum=terms.minimum,
            maximum=terms.maximum,
        )
    if quantity < min(capacity.seats_in_use, terms.quantity):
        raise RuleViolation(
            "seats_in_use",
            f"{capacity.seats_in_use} seats are taken. Free some first.",
            occupied=capacity.seats_in_use,
            quantity=quantity,
        )


def quantity_without_unused(capacity: Capacity) -> int:
    """The number of seats once those that nobody has are gone; never more than there are."""
    return min(capacity.terms.quantity, max(capacity.seats_in_use, capacity.terms.minimum))


def billing_manager_from(metadata: dict[str, str]) -> Customer | None:
    """The user whom a customer's metadata names as the billing manager: `7` or `user_7`."""
    named = metadata.get("billing_manager", "").removeprefix("user_")
    try:
        return Customer(type="user", id=named)
    except ValueError:
        return None
