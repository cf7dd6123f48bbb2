"""A team's seat terms and capacity: seats purchased, occupied and available."""

from dataclasses import dataclass
from typing import Literal

from services.seats.domain.rule_violation import RuleViolation
from tallystick.messages.base import Customer
from tallystick.messages.catalog import OwnerSeat, SeatStrategy
from tallystick.messages.subscriptions import SubscriptionItem, SubscriptionSnapshot

TargetState = Literal["none", "open", "suspended", "closed"]
"""The state that a subscription requires of its team; `none`: it has not started, so nothing changes."""

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
    """The seat terms of the plan that a team was sold with."""

    strategy: SeatStrategy
    owner_seat: OwnerSeat
    quantity: int
    """Seats purchased."""
    minimum: int
    maximum: int | None
    scheduled_quantity: int | None
    """Seats from the end of the period on; None if no change is scheduled."""

    @property
    def capacity(self) -> int:
        """Seats purchased, plus the owner's seat if it is free."""
        return self.quantity + (self.owner_seat == "free")

    @property
    def owners(self) -> int:
        """Seats that the owner occupies, free or billed: 0 or 1."""
        return int(self.owner_seat != "none")


def target_state_of(subscription: SubscriptionSnapshot) -> TargetState:
    """Return the state that a subscription requires of its team."""
    target = _TARGET_STATES[subscription.status]
    return "suspended" if target == "open" and subscription.restricted else target


def seat_terms_of(subscription: SubscriptionSnapshot) -> SeatTerms | None:
    """Return the seat terms of a subscription; None if none of its items has seats."""
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
    """Return the item that has seats; there is at most one, as a subscription has one plan."""
    return next((item for item in subscription.items if item.seats is not None), None)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The seats of a team and how many of them are occupied."""

    terms: SeatTerms
    holders: int
    """Pending and claimed seats."""
    requested_quantity: int | None = None
    """The number of seats requested from the subscription; None if no change is in progress."""
    members_reported: int = 0
    """Members that the machines of the subscription's license report."""

    @property
    def occupied(self) -> int:
        """Pending and claimed seats, plus the owner's."""
        return self.holders + self.terms.owners

    @property
    def assigned(self) -> int:
        """Purchased seats that are occupied."""
        return self.holders + (self.terms.owner_seat == "billed")

    @property
    def seats_in_use(self) -> int:
        """Purchased seats that cannot be given back: assigned, or in use on machines, whichever are more.

        A member on a machine may be one who has a seat, so that the two are not added.
        """
        return max(self.assigned, self.members_reported)

    @property
    def available(self) -> int:
        """Seats that can be assigned, by the lowest of the purchased, requested and scheduled quantities."""
        quantities = (self.terms.quantity, self.requested_quantity, self.terms.scheduled_quantity)
        lowest = min(quantity for quantity in quantities if quantity is not None)
        return max(0, lowest - self.assigned)

    @property
    def excess(self) -> int:
        """Occupied seats beyond the capacity, after the subscription's quantity was lowered elsewhere."""
        return max(0, self.occupied - self.terms.capacity)


def require_valid_quantity(capacity: Capacity, quantity: int) -> None:
    """Raise RuleViolation `quantity_out_of_range` or `seats_in_use` for an invalid number of seats."""
    terms = capacity.terms
    if quantity < terms.minimum or (terms.maximum is not None and quantity > terms.maximum):
        raise RuleViolation(
            "quantity_out_of_range",
            f"Between {terms.minimum} and {terms.maximum or 'any number of'} seats are sold.",
            quantity=quantity,
            minimum=terms.minimum,
            maximum=terms.maximum,
        )
    require_enough(capacity, quantity)


def require_enough(capacity: Capacity, quantity: int) -> None:
    """Raise RuleViolation `seats_in_use` if fewer seats would be left than are in use.

    More seats are always allowed, even if the present quantity is below the seats in use.
    """
    if quantity >= min(capacity.seats_in_use, capacity.terms.quantity):
        return
    on_machines = capacity.members_reported == capacity.seats_in_use
    raise RuleViolation(
        "seats_in_use",
        f"{capacity.seats_in_use} seats are {'in use on machines' if on_machines else 'taken'}. "
        "Free some first.",
        occupied=capacity.seats_in_use,
        members_reported=capacity.members_reported,
        quantity=quantity,
    )


def quantity_without_unused(capacity: Capacity) -> int:
    """Return the lowest number of seats that keeps all in use; never more than the present number."""
    return min(capacity.terms.quantity, max(capacity.seats_in_use, capacity.terms.minimum))


def billing_manager_from(metadata: dict[str, str]) -> Customer | None:
    """Return the user that a customer's metadata names as billing manager: `7` or `user_7`."""
    named = metadata.get("billing_manager", "").removeprefix("user_")
    try:
        return Customer(type="user", id=named)
    except ValueError:
        return None
