"""Whether somebody gets the units they want, and from which grants: decided one after the other."""

from collections.abc import Sequence
from typing import NamedTuple

from services.consumables.domain.balance import Part, Pool, Stock, Why, available, take
from tallystick.messages.consumables import EntryKind


class Drawn(NamedTuple):
    """Units that somebody got, and how many they may still draw."""

    parts: list[Part]
    quantity: int
    remaining: int | None


class Insufficient(NamedTuple):
    """There are not as many; nothing was taken."""

    available: int


def draw(
    pools: Sequence[Pool],
    stocks: Sequence[Stock],
    quantity: int,
    kind: EntryKind,
    why: Why,
    *,
    partial: bool = False,
) -> Drawn | Insufficient:
    """Take units from grants, which come in the order to be drawn on: all or none, unless `partial`."""
    there = available(pools)
    if there is not None and there < quantity:
        if not partial or there == 0:
            return Insufficient(there)
        quantity = there
    parts = take(stocks, quantity, kind, why)
    return Drawn(parts, quantity, None if there is None else there - quantity)
