"""Billing periods counted from an anchor, by the calendar: a month from 31 January ends on 28 February.

Every boundary is counted from the anchor itself, so that a period that begins on 28 February, three months
after 30 November, is followed by one from 30 May.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol

from dateutil.relativedelta import relativedelta

from tallystick.messages.catalog import Interval

_FIXED = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS = {"month": 1, "year": 12}
_A_YEAR: dict[Interval, int] = {"day": 365, "week": 52, "month": 12, "year": 1}


@dataclass(frozen=True, slots=True)
class BillingInterval:
    """The length of a billing period: a number of intervals, such as 3 months."""

    interval: Interval
    count: int = 1

    @property
    def periods_a_year(self) -> Fraction:
        """The number of periods in a year, to compare prices; not used for charges."""
        return Fraction(_A_YEAR[self.interval], self.count)


class RecurringTerms(Protocol):
    """What is charged every period: a price of the catalog, or one that only Stripe has."""

    @property
    def interval(self) -> Interval:
        """The unit of the period."""

    @property
    def interval_count(self) -> int:
        """The number of intervals in a period."""


def billing_interval(terms: RecurringTerms) -> BillingInterval:
    """Return the length of a price's billing period."""
    return BillingInterval(terms.interval, terms.interval_count)


def period_containing(
    anchor: datetime, every: BillingInterval, moment: datetime
) -> tuple[datetime, datetime]:
    """Return the start and end of the period, counted from `anchor`, that contains `moment`.

    The end is exclusive. A moment before the anchor belongs to the first period.
    """
    number = max(0, _estimate(anchor, every, moment))
    while number > 0 and boundary(anchor, every, number) > moment:
        number -= 1
    while boundary(anchor, every, number + 1) <= moment:
        number += 1
    return boundary(anchor, every, number), boundary(anchor, every, number + 1)


def boundary(anchor: datetime, every: BillingInterval, number: int) -> datetime:
    """Return the start of period `number`, counted from 0 at the anchor.

    A day of the month that a month does not have becomes its last day.
    """
    intervals = number * every.count
    if every.interval in _FIXED:
        return anchor + intervals * _FIXED[every.interval]
    return anchor + relativedelta(months=intervals * _MONTHS[every.interval])


def _estimate(anchor: datetime, every: BillingInterval, moment: datetime) -> int:
    # At most one off, so that no loop over all periods since the anchor is needed.
    if every.interval in _FIXED:
        return (moment - anchor) // (every.count * _FIXED[every.interval])
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    return months // (every.count * _MONTHS[every.interval])
