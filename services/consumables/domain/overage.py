"""Overage: units beyond the included ones, which are owed at a price instead of refused.

They are drawn from a grant of their own, one for each balance and billing period. Its consumed units are what
is owed; the balance itself stays at zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.consumables.domain.balance import (
    OVERAGE_PRIORITY,
    Balance,
    Cause,
    Drawn,
    Grant,
    Insufficient,
    NewGrant,
    Part,
    available,
    draw,
    move,
    take,
)
from tallystick.messages.base import Money
from tallystick.messages.consumables import EntryKind


@dataclass(frozen=True, slots=True)
class Terms:
    """The price of units beyond the included ones, and the most that may be owed in a billing period."""

    unit_amount: int
    """In the minor unit of `currency`."""
    currency: str
    cap: int | None
    """In units; None: no cap."""


def units_of_cap(cap: int | Money | None, unit_price: Money) -> int | None:
    """Return a cap in whole units; None: no cap."""
    if isinstance(cap, Money):
        return cap.amount // unit_price.amount
    return cap


def new_grant(grant_id: str, key: str) -> NewGrant:
    """Return the grant that units beyond the included ones are drawn from."""
    return NewGrant(grant_id, None, None, OVERAGE_PRIORITY, {"kind": "overage"}, key)


def draw_beyond(
    balances: Sequence[Balance],
    grants: Sequence[Grant],
    owed_from: Grant,
    terms: Terms,
    quantity: int,
    kind: EntryKind,
    cause: Cause,
    *,
    partial: bool = False,
) -> Drawn | Insufficient:
    """Draw what is left of the included units, and the rest beyond them as far as the cap allows."""
    drawn = draw(balances, grants, quantity, kind, cause)
    if isinstance(drawn, Drawn):
        return drawn
    included = available(balances) or 0
    room = quantity if terms.cap is None else max(0, terms.cap - owed_from.in_use)
    if included + room < quantity:
        if not partial or included + room == 0:
            return Insufficient(included + room)
        quantity = included + room
    parts = take(grants, included, kind, cause) if included else []
    if quantity > included:
        move(owed_from, kind, quantity - included, cause)
        parts.append(Part(owed_from, quantity - included))
    return Drawn(parts, quantity, 0)


def units_beyond(parts: Sequence[Part]) -> int:
    """Return how many of some drawn units are beyond the included ones."""
    return sum(part.quantity for part in parts if part.grant.is_overage)
