"""Billing periods counted from an anchor, by the calendar: a month from 31 January ends on 28 February."""

from datetime import datetime, timedelta

from dateutil.relativedelta import relativedelta

from tallystick.messages.catalog import Interval

_FIXED = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS = {"month": 1, "year": 12}


def period_containing(anchor: datetime, interval: Interval, moment: datetime) -> tuple[datetime, datetime]:
    """Return the start and end of the period, counted from `anchor`, that contains `moment`.

    The end is exclusive. A moment before the anchor belongs to the first period.
    """
    number = max(0, _estimate(anchor, interval, moment))
    while number > 0 and boundary(anchor, interval, number) > moment:
        number -= 1
    while boundary(anchor, interval, number + 1) <= moment:
        number += 1
    return boundary(anchor, interval, number), boundary(anchor, interval, number + 1)


def boundary(anchor: datetime, interval: Interval, number: int) -> datetime:
    """Return the start of period `number`, counted from 0 at the anchor.

    A day of the month that a month does not have becomes its last day.
    """
    if interval in _FIXED:
        return anchor + number * _FIXED[interval]
    return anchor + relativedelta(months=number * _MONTHS[interval])


def _estimate(anchor: datetime, interval: Interval, moment: datetime) -> int:
    # At most one off, so that no loop over all periods since the anchor is needed.
    if interval in _FIXED:
        return (moment - anchor) // _FIXED[interval]
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    return months // _MONTHS[interval]
