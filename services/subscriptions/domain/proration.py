"""Proration: the credit for unused time and the charge for remaining time of a change within a period.

Computed by the second; each line is rounded by itself with halves away from zero, as Stripe does, so that a
credit cancels out the charge for the same time.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from services.subscriptions.domain.pricing import period_amount
from tallystick.messages.catalog import Price


@dataclass(frozen=True, slots=True)
class PricedQuantity:
    """A price and a quantity of it."""

    price: Price
    quantity: int


@dataclass(frozen=True, slots=True)
class ProratedLine:
    """A credit (negative) or a charge for the rest of a period, in minor units."""

    bought: PricedQuantity
    amount: int


def share_left(start: datetime, end: datetime, at: datetime) -> Fraction:
    """Return the remaining part of a period, by whole seconds, between 0 and 1.

    Raises ValueError for a period that does not end after its start.
    """
    whole = _seconds(start, end)
    if whole <= 0:
        raise ValueError("a period must end after it starts")
    return Fraction(min(max(_seconds(at, end), 0), whole), whole)


def prorated(bought: PricedQuantity, share: Fraction) -> int:
    """Return the amount for a share of a period, rounded to the minor unit."""
    return _rounded(period_amount(bought.price, bought.quantity) * share)


def proration_lines(before: PricedQuantity, after: PricedQuantity, share: Fraction) -> list[ProratedLine]:
    """Return the credit and charge of a change with a share of the period left; zero lines are left out."""
    if (before.price.code, before.quantity) == (after.price.code, after.quantity):
        return []
    lines = [ProratedLine(before, -prorated(before, share)), ProratedLine(after, prorated(after, share))]
    return [line for line in lines if line.amount]


def _rounded(amount: Fraction) -> int:
    """Round to the nearest whole number, halves up; amounts are never negative here."""
    return int(amount + Fraction(1, 2))


def _seconds(start: datetime, end: datetime) -> int:
    return int(end.timestamp()) - int(start.timestamp())
