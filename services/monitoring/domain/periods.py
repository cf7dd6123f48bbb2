"""Periods of reports: UTC days, weeks from Monday, and calendar months, cut at both ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

By = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `start` to the day before `end`."""

    start: date
    end: date


def days_of(since: datetime, until: datetime) -> tuple[date, date]:
    """Return the first day of a span, and the day after its last one."""
    last = until.astimezone(UTC)
    is_midnight = last.timetz() == time(tzinfo=UTC)
    return since.astimezone(UTC).date(), last.date() if is_midnight else last.date() + timedelta(days=1)


def periods(first: date, end: date, by: By) -> Iterator[Period]:
    """Yield the periods that cover the days from `first` to the day before `end`."""
    start = first
    while start < end:
        following = min(_next(start, by), end)
        yield Period(start, following)
        start = following


def _next(day: date, by: By) -> date:
    """Return the first day of the period after a day's own."""
    match by:
        case "day":
            return day + timedelta(days=1)
        case "week":
            return day + timedelta(days=7 - day.weekday())
        case "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
