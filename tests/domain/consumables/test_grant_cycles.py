"""Grant cycles: calendar months and years counted from the start of a subscription."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consumables.domain.grant_cycles import ONCE, anchor_of, boundary, cycle_at
from tallystick.messages.catalog import Interval


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-01-31", "2026-01-31", "2026-02-28"),
        ("2026-02-27T23:59:59", "2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-02-28", "2026-03-31"),
        ("2026-03-30", "2026-02-28", "2026-03-31"),
        ("2026-04-30", "2026-04-30", "2026-05-31"),
        ("2028-02-29", "2028-02-29", "2028-03-31"),
    ],
)
def test_a_month_from_the_31st_ends_with_the_month(moment: str, start: str, end: str) -> None:
    cycle = cycle_at(day("2026-01-31"), "month", day(moment))
    assert (cycle.start, cycle.end) == (day(start), day(end))


def test_a_year_from_29_february_ends_on_28_february() -> None:
    cycle = cycle_at(day("2024-02-29"), "year", day("2025-06-01"))
    assert (cycle.number, cycle.start, cycle.end) == (1, day("2025-02-28"), day("2026-02-28"))


def test_days_and_weeks_are_counted_by_their_length() -> None:
    assert cycle_at(day("2026-01-01T12:00"), "day", day("2026-01-04T11:59")).start == day("2026-01-03T12:00")
    assert cycle_at(day("2026-01-01"), "week", day("2026-01-15")).start == day("2026-01-15")


def test_a_moment_before_the_anchor_is_in_the_first_cycle() -> None:
    assert cycle_at(day("2026-01-10"), "month", day("2025-06-01")).number == 0


def test_a_one_time_grant_has_a_single_cycle() -> None:
    assert cycle_at(day("2026-01-01"), None, day("2026-01-01")) == ONCE
    assert cycle_at(day("2027-07-07"), None, day("2031-01-01")) == ONCE
    assert ONCE.end is None


@given(
    st.integers(0, 3_600).map(lambda days: day("2020-01-01T09:30") + timedelta(days=days)),
    st.sampled_from(["day", "week", "month", "year"]),
    st.timedeltas(timedelta(0), timedelta(days=5000)),
)
def test_cycles_follow_one_another_without_a_gap(anchor: datetime, every: Interval, after: timedelta) -> None:
    moment = anchor + after
    cycle = cycle_at(anchor, every, moment)
    assert cycle.end is not None
    assert cycle.start <= moment < cycle.end
    assert cycle.end == boundary(anchor, every, cycle.number + 1)
    assert cycle_at(anchor, every, cycle.end).number == cycle.number + 1


@pytest.mark.parametrize(
    ("known", "start", "end", "anchor"),
    [
        # The first period is where time begins.
        (None, "2026-01-31", "2026-02-28", "2026-01-31"),
        # The next ones follow from it, shorter month or not.
        ("2026-01-31", "2026-02-28", "2026-03-31", "2026-01-31"),
        ("2026-01-31", "2026-03-31", "2026-04-30", "2026-01-31"),
        # A yearly plan, renewed.
        ("2026-01-31", "2027-01-31", "2028-01-31", "2026-01-31"),
        # After a trial of 14 days the paid time begins.
        ("2026-01-01", "2026-01-15", "2026-02-15", "2026-01-15"),
        # Changed from months to a year in the middle of a month.
        ("2026-01-31", "2026-03-10", "2027-03-10", "2026-03-10"),
        # Weekly billing: each week follows from the first.
        ("2026-01-01", "2026-01-08", "2026-01-15", "2026-01-01"),
    ],
)
def test_the_anchor_moves_only_when_billing_begins_anew(
    known: str | None, start: str, end: str, anchor: str
) -> None:
    assert anchor_of(day(known) if known else None, day(start), day(end)) == day(anchor)


@pytest.mark.parametrize(
    ("known", "start", "end", "interval", "anchor"),
    [
        # Every three months from 31 January: the months in between are counted from the 31st all along.
        ("2026-01-31", "2026-04-30", "2026-07-31", "month", "2026-01-31"),
        ("2024-02-29", "2026-02-28", "2028-02-29", "year", "2024-02-29"),
        # Every two weeks: 14 days, and 28 days from 1 February are no month.
        ("2026-01-01", "2026-01-15", "2026-01-29", "week", "2026-01-01"),
        ("2026-01-04", "2026-02-01", "2026-03-01", "week", "2026-01-04"),
        # Every 90 days.
        ("2026-01-01", "2026-04-01", "2026-06-30", "day", "2026-01-01"),
        # Changed from two weeks to a month.
        ("2026-01-01", "2026-01-15", "2026-02-15", "month", "2026-01-15"),
    ],
)
def test_periods_of_several_intervals_follow_from_the_first(
    known: str, start: str, end: str, interval: Interval, anchor: str
) -> None:
    assert anchor_of(day(known), day(start), day(end), interval) == day(anchor)
