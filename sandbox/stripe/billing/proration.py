"""Proration by the second.

Unused time is credited and remaining time is charged, each line rounded separately.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sandbox.stripe.billing import calendar, pricing

Price = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """Subscription item at one time: price, quantity and its billing cycle (unix seconds)."""

    id: str
    price: Price
    quantity: int
    period_start: int
    period_end: int
    anchor: int
    tax_rates: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Proration:
    """Proration line: negative for the old item's unused time, positive for the new one's remaining time."""

    item: Item
    amount: int
    start: int
    end: int


def share(item: Item, at: int) -> Fraction:
    """Return the share of a full period from `at` to the period's end.

    A period shortened by an anchor or a cancellation counts against its whole cycle.
    """
    recurring = item.price["recurring"]
    interval, count = recurring["interval"], int(recurring["interval_count"])
    full_start = calendar.previous_boundary(item.anchor, interval, count, item.period_end)
    full_end = calendar.next_boundary(item.anchor, interval, count, full_start)
    left = min(max(item.period_end - at, 0), item.period_end - item.period_start)
    return Fraction(left, full_end - full_start)


def unused_time(item: Item, at: int) -> Proration:
    """Return the credit for an item that ends at a time."""
    amount = pricing.round_minor(pricing.total(item.price, item.quantity) * share(item, at))
    return Proration(item, -amount, at, item.period_end)


def remaining_time(item: Item, at: int) -> Proration:
    """Return the charge for an item that begins at a time within its period."""
    amount = pricing.round_minor(pricing.total(item.price, item.quantity) * share(item, at))
    return Proration(item, amount, at, item.period_end)


def between(before: list[Item], after: list[Item], at: int) -> list[Proration]:
    """Return the lines for a change of items at a time.

    They credit and charge each item that differs, in the items' order.
    """
    old = {item.id: item for item in before}
    new = {item.id: item for item in after}
    lines: list[Proration] = []
    for item_id in [*old, *(i for i in new if i not in old)]:
        was, now = old.get(item_id), new.get(item_id)
        if was is not None and now is not None and _same_bill(was, now):
            continue
        if was is not None and not pricing.is_metered(was.price):
            lines.append(unused_time(was, at))
        if now is not None and not pricing.is_metered(now.price):
            lines.append(remaining_time(now, at))
    return lines


def _same_bill(was: Item, now: Item) -> bool:
    return bool(was.price["id"] == now.price["id"] and was.quantity == now.quantity)
