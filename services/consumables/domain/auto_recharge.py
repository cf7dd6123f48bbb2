"""When units are bought, how many, and why not: the rule of an auto-recharge applied to one moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FAILURES_MAX = 3
"""Failed charges in a row after which nothing more is tried until the rule is set again."""

SkipReason = Literal["spend_cap_reached", "unlimited", "suspended"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How an account buys more of a feature by itself. Amounts are in the price's minor unit."""

    recharge_quantity: int
    unit_amount: int
    """At least 1."""
    max_spend: int | None
    """For a billing period; None: no bound."""
    charge_max: int
    """The most that one payment may be."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """Units to be bought now."""

    quantity: int
    amount: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is bought, and why."""

    reason: SkipReason


def decide(rule: Rule, *, spent: int, is_unlimited: bool, is_suspended: bool) -> Purchase | Skip:
    """What a balance below its threshold leads to; `spent` is paid and in flight in the billing period.

    What does not fit under the cap is cut to the whole units that do.
    """
    if is_unlimited:
        return Skip("unlimited")
    if is_suspended:
        return Skip("suspended")
    quantity = min(rule.recharge_quantity, rule.charge_max // rule.unit_amount)
    if rule.max_spend is not None:
        quantity = min(quantity, max(0, rule.max_spend - spent) // rule.unit_amount)
    if quantity < 1:
        return Skip("spend_cap_reached")
    return Purchase(quantity, quantity * rule.unit_amount)


def period_begin(start: datetime | None, end: datetime | None, at: datetime) -> datetime:
    """When the billing period began that `at` is in, by what is known of the subscription's latest one.

    Without a subscription it is the calendar month. A period that is over and not yet known to be renewed
    has been followed by the next.
    """
    if start is None or end is None or at < start:
        return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start if at < end else end
