"""The rules of an auto-recharge: how many units to buy, or the reason to buy none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FAILURES_MAX = 3
"""Consecutive failed charges after which the auto-recharge is suspended until it is set again."""
RECHARGES_PER_HOUR = 5
"""Automatic recharges of an account and feature within an hour; one more suspends the auto-recharge, since
nobody means to be charged so often."""

SkipReason = Literal["spend_cap_reached", "unlimited", "suspended"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The auto-recharge of an account and feature. Amounts are in the price's minor unit."""

    threshold: int
    recharge_quantity: int
    """The units of one lot."""
    unit_amount: int
    """At least 1."""
    max_spend: int | None
    """The spend cap for a billing period; None: no cap."""
    charge_max: int
    """The highest amount of one payment."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """Units to be bought now."""

    quantity: int
    amount: int


@dataclass(frozen=True, slots=True)
class Skip:
    """The decision to buy nothing, with its reason."""

    reason: SkipReason


def decide(
    rule: Rule, *, remaining: int, spent: int, is_unlimited: bool, is_suspended: bool
) -> Purchase | Skip:
    """Decide how many units to buy for a balance below its threshold.

    A shortfall is one purchase: as many whole lots as bring the balance back to the threshold. It is
    cut to what one payment may be, and to the whole units that fit under the spend cap; `spent` is the amount
    of automatic recharges, paid or pending, in the billing period.
    """
    if is_unlimited:
        return Skip("unlimited")
    if is_suspended:
        return Skip("suspended")
    lots = max(1, -(-(rule.threshold - remaining) // rule.recharge_quantity))
    quantity = min(lots * rule.recharge_quantity, rule.charge_max // rule.unit_amount)
    if rule.max_spend is not None:
        quantity = min(quantity, max(0, rule.max_spend - spent) // rule.unit_amount)
    if quantity < 1:
        return Skip("spend_cap_reached")
    return Purchase(quantity, quantity * rule.unit_amount)


def period_begin(start: datetime | None, end: datetime | None, at: datetime) -> datetime:
    """Return the start of the billing period that contains `at`, given the latest known period.

    Without a known period this is the start of the calendar month. If the known period is over, the next one
    is taken to begin where it ends.
    """
    if start is None or end is None or at < start:
        return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start if at < end else end
