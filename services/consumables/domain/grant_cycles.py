"""Cycles of grants, counted by the calendar from a subscription's anchor.

A month from 31 January ends on 28 February and the next on 31 March, as Stripe counts billing periods. A
yearly plan with monthly grants has twelve cycles in a billing period.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from tallystick.messages.catalog import Interval

_FIXED = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS = {"month": 1, "year": 12}
ONCE_AT = datetime(1970, 1, 1, tzinfo=UTC)
"""The start of the only cycle of units that are granted once."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The time from one grant to the next."""

    number: int
    """Counted from 0 at the anchor."""
    start: datetime
    end: datetime | None
    """The start of the next cycle; None for units that are granted once."""


ONCE = Cycle(0, ONCE_AT, None)
"""The only cycle of units that are granted once."""


def cycle_at(anchor: datetime, every: Interval | None, moment: datetime) -> Cycle:
    """Return the cycle that contains `moment`; a moment before the anchor is in the first cycle."""
    if every is None:
        return ONCE
    number = max(0, _estimate(anchor, every, moment))
    while number > 0 and boundary(anchor, every, number) > moment:
        number -= 1
    while boundary(anchor, every, number + 1) <= moment:
        number += 1
    return Cycle(number, boundary(anchor, every, number), boundary(anchor, every, number + 1))


def boundary(anchor: datetime, every: Interval, number: int) -> datetime:
    """Return the start of cycle `number`, counted from 0 at the anchor.

    If the month lacks the anchor's day, the cycle starts on the last day of the month.
    """
    if every in _FIXED:
        return anchor + number * _FIXED[every]
    return anchor + relativedelta(months=number * _MONTHS[every])


def anchor_of(
    known: datetime | None, start: datetime, end: datetime, interval: Interval | None = None
) -> datetime:
    """Return the anchor from which cycles are counted, given the billing period `start` to `end`.

    `interval` is the unit of the billing period: periods of three months follow from one another as months
    do. The known anchor is kept as long as billing periods follow from it. Otherwise, after a trial or a
    change of the billing interval, the start of the period is the new anchor: the customer pays from there.
    """
    if known is None:
        return start
    # Yearly periods also begin at the start of a monthly cycle.
    unit: Interval = "month" if interval == "year" else interval or _shortest_interval(start, end)
    return known if cycle_at(known, unit, start).start == start else start


def _shortest_interval(start: datetime, end: datetime) -> Interval:
    # For snapshots that do not tell the interval.
    for every, length in _FIXED.items():
        if end - start == length:
            return every  # type: ignore[return-value]
    return "month"


def _estimate(anchor: datetime, every: Interval, moment: datetime) -> int:
    # At most one off, so that a cycle far from its anchor is found in a few steps.
    if every in _FIXED:
        return (moment - anchor) // _FIXED[every]
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    return months // _MONTHS[every]
