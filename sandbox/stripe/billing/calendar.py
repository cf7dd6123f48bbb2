"""Billing cycles: period boundaries for any interval, by the UTC calendar.

Boundaries are always counted from the anchor, never from the previous boundary, so that a subscription
anchored on the 31st is billed on 28 February and again on 31 March.
"""

from datetime import UTC, datetime, timedelta

HOUR = 3_600
DAY = 86_400
_MONTHS_PER = {"month": 1, "year": 12}
_DAYS_PER = {"day": 1, "week": 7}
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def boundary(anchor: int, interval: str, interval_count: int, index: int) -> int:
    """Return the `index`-th cycle boundary (unix seconds) counted from the anchor.

    Negative indexes are before it.
    """
    if interval in _DAYS_PER:
        return anchor + index * interval_count * _DAYS_PER[interval] * DAY
    return _add_months(anchor, index * interval_count * _MONTHS_PER[interval])


def next_boundary(anchor: int, interval: str, interval_count: int, after: int) -> int:
    """Return the first cycle boundary strictly after a time."""
    index = _estimate(anchor, interval, interval_count, after)
    while boundary(anchor, interval, interval_count, index) > after:
        index -= 1
    while boundary(anchor, interval, interval_count, index) <= after:
        index += 1
    return boundary(anchor, interval, interval_count, index)


def previous_boundary(anchor: int, interval: str, interval_count: int, before: int) -> int:
    """Return the last cycle boundary strictly before a time."""
    index = _estimate(anchor, interval, interval_count, before)
    while boundary(anchor, interval, interval_count, index) < before:
        index += 1
    while boundary(anchor, interval, interval_count, index) >= before:
        index -= 1
    return boundary(anchor, interval, interval_count, index)


def anchor_on_day(
    start: int, day_of_month: int, hour: int | None, minute: int | None, second: int | None
) -> int:
    """Return the first time at or after `start` on a day of the month (clamped to short months)."""
    moment = datetime.fromtimestamp(start, UTC)
    for months in range(2):
        first = datetime.fromtimestamp(_add_months(_month_start(moment), months), UTC)
        day = min(day_of_month, _days_in(first.year, first.month))
        candidate = first.replace(
            day=day,
            hour=moment.hour if hour is None else hour,
            minute=moment.minute if minute is None else minute,
            second=moment.second if second is None else second,
        )
        if candidate.timestamp() >= start:
            return int(candidate.timestamp())
    raise AssertionError("the next month always has the day, clamped")


def day_name(moment: int) -> str:
    """Format a date as in Stripe's line descriptions: `16 Jan 2026`."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at.strftime('%b %Y')}"


def _estimate(anchor: int, interval: str, interval_count: int, moment: int) -> int:
    """Return an index near the time; the callers step to the exact one."""
    if interval in _DAYS_PER:
        return (moment - anchor) // (interval_count * _DAYS_PER[interval] * DAY)
    start, end = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(moment, UTC)
    months = (end.year - start.year) * 12 + end.month - start.month
    return months // (interval_count * _MONTHS_PER[interval])


def _add_months(moment: int, months: int) -> int:
    start = datetime.fromtimestamp(moment, UTC)
    year, month0 = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, _days_in(year, month0 + 1))
    return int(start.replace(year=year, month=month0 + 1, day=day).timestamp())


def _month_start(moment: datetime) -> int:
    return int((moment - timedelta(days=moment.day - 1)).timestamp())


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and ((year % 4 == 0 and year % 100 != 0) or year % 400 == 0)
    return 29 if leap else _MONTH_LENGTHS[month - 1]
