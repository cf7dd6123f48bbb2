"""Boundaries of cycles and billing periods, compared with calendar arithmetic written out by hand."""

import calendar
from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from services.consumables.domain import grant_cycles
from services.subscriptions.domain.billing_periods import BillingInterval, boundary, period_containing
from tallystick.messages.catalog import Interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIXED = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
MONTHS = {"month": 1, "year": 12}


def expected(anchor: datetime, interval: Interval, number: int) -> datetime:
    """The boundary, with days that a month lacks clamped to its last and counted from the anchor."""
    if interval in FIXED:
        return anchor + number * FIXED[interval]
    months = anchor.month - 1 + number * MONTHS[interval]
    year, month = anchor.year + months // 12, months % 12 + 1
    day = min(anchor.day, calendar.monthrange(year, month)[1])
    return anchor.replace(year=year, month=month, day=day)


@given(
    st.timedeltas(timedelta(0), timedelta(days=80_000)).map(lambda after: EPOCH + after),
    st.sampled_from(["day", "week", "month", "year"]),
    st.integers(0, 2_000),
)
@example(datetime(2024, 2, 29, tzinfo=UTC), "year", 1)
@example(datetime(2024, 2, 29, tzinfo=UTC), "year", 4)
@example(datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), "month", 1)
@example(datetime(2026, 1, 31, tzinfo=UTC), "month", 13)
@example(datetime(2026, 12, 31, tzinfo=UTC), "month", 2)
def test_boundaries_are_those_of_the_calendar(anchor: datetime, interval: Interval, number: int) -> None:
    every = BillingInterval(interval)
    assert boundary(anchor, every, number) == expected(anchor, interval, number)
    assert grant_cycles.boundary(anchor, interval, number) == expected(anchor, interval, number)


@given(
    st.timedeltas(timedelta(0), timedelta(days=20_000)).map(lambda after: EPOCH + after),
    st.sampled_from(["day", "week", "month", "year"]),
    st.integers(1, 36),
    st.timedeltas(timedelta(0), timedelta(days=20_000)),
)
@example(datetime(2024, 2, 29, tzinfo=UTC), "year", 2, timedelta(days=800))
@example(datetime(2024, 2, 29, tzinfo=UTC), "month", 3, timedelta(days=366))
@example(datetime(2026, 1, 31, tzinfo=UTC), "month", 3, timedelta(days=89))
def test_a_period_of_several_intervals_is_as_many_from_the_same_anchor(
    anchor: datetime, interval: Interval, count: int, after: timedelta
) -> None:
    every = BillingInterval(interval, count)
    start, end = period_containing(anchor, every, anchor + after)
    assert start <= anchor + after < end
    found = next(n for n in range(0, 20_001, 1) if expected(anchor, interval, n * count) == start)
    assert end == expected(anchor, interval, (found + 1) * count)
