"""When units are granted anew: cycles counted by the calendar from where a subscription's time began.

A month from 31 January ends on 28 February and the next on 31 March, as Stripe counts billing periods. A
yearly plan with monthly units has twelve cycles in a billing period.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tallystick.messages.catalog import Interval

_FIXED = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS = {"month": 1, "year": 12}
ONCE_AT = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the only cycle of units that are granted once begins: the same whenever it is asked for."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """From one grant to the next; `number` counts from the anchor, `end` belongs to the next cycle."""

    number: int
    start: datetime
    end: datetime | None
    """None: units granted once have no next time."""


ONCE = Cycle(0, ONCE_AT, None)


def cycle_at(anchor: datetime, every: Interval | None, moment: datetime) -> Cycle:
    """The cycle that `moment` is in; a moment before the anchor is in the first."""
    if every is None:
        return ONCE
    number = max(0, _estimate(anchor, every, moment))
    while number > 0 and boundary(anchor, every, number) > moment:
        number -= 1
    while boundary(anchor, every, number + 1) <= moment:
        number += 1
    return Cycle(number, boundary(anchor, every, number), boundary(anchor, every, number + 1))


def boundary(anchor: datetime, every: Interval, number: int) -> datetime:
    """When cycle `number` begins, counted from 0 at the anchor; days that a month lacks become its last."""
    if every in _FIXED:
        return anchor + number * _FIXED[every]
    months = anchor.month - 1 + number * _MONTHS[every]
    year, month = anchor.year + months // 12, months % 12 + 1
    day = min(anchor.day, calendar.monthrange(year, month)[1])
    return anchor.replace(year=year, month=month, day=day)


def anchor_of(known: datetime | None, start: datetime, end: datetime) -> datetime:
    """From where cycles are counted, once a subscription says that its billing period is `start` to `end`.

    It stays where it is as long as billing periods follow from it. A period that does not, after a trial or a
    change to another interval, is where time begins anew: the customer pays from there.
    """
    if known is None:
        return start
    every = _shortest_rhythm(start, end)
    return known if cycle_at(known, every, start).start == start else start


def _shortest_rhythm(start: datetime, end: datetime) -> Interval:
    # Periods of months and years all begin on a day of the monthly rhythm.
    for every, length in _FIXED.items():
        if end - start == length:
            return every  # type: ignore[return-value]
    return "month"


def _estimate(anchor: datetime, every: Interval, moment: datetime) -> int:
    # At most one off, so that a cycle far from its anchor is found without walking there.
    if every in _FIXED:
        return (moment - anchor) // _FIXED[every]
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    return months // _MONTHS[every]
