"""Trends: the contract's figures, and the day on which a robust line meets a limit."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitoring.domain.trends import growth, reaches_limit

FIRST = date(2026, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def test_from_140_to_150_in_30_days() -> None:
    found = growth([(day(0), 140), (day(30), 150)])
    assert found is not None
    assert (found.start_value, found.current_value, found.change) == (140, 150, 10)
    assert (found.growth_rate_percent, found.daily_growth_rate, found.monthly_projection) == (
        7.14,
        0.238,
        161,
    )
    assert (found.reaches_limit_on, found.reaches_limit_between) == (None, None)


def test_from_115_000_to_125_000_in_30_days() -> None:
    found = growth([(day(0), 115_000), (day(30), 125_000)])
    assert found is not None
    assert (found.growth_rate_percent, found.daily_growth_rate, found.monthly_projection) == (
        8.7,
        0.29,
        135_870,
    )


@pytest.mark.parametrize("series", [[], [(day(0), 140)]])
def test_fewer_than_two_snapshots_are_null(series: list[tuple[date, int]]) -> None:
    assert growth(series) is None


def test_growth_from_nothing_has_no_rate() -> None:
    found = growth([(day(0), 0), (day(10), 5)], 10)
    assert found is not None
    assert (found.change, found.growth_rate_percent, found.monthly_projection) == (5, None, None)
    assert found.reaches_limit_on == day(20)


def test_a_shrinking_business() -> None:
    found = growth([(day(0), 200), (day(20), 150)], 300)
    assert found is not None
    assert (found.change, found.growth_rate_percent, found.daily_growth_rate) == (-50, -25.0, -1.25)
    assert (found.monthly_projection, found.reaches_limit_on) == (94, None)  # 150 × 0.625 = 93.75


def test_a_straight_line_meets_its_limit_exactly() -> None:
    series = [(day(number), 100 + number) for number in range(31)]
    assert reaches_limit(series, 200) == (day(100), (day(100), day(100)))


def test_a_few_days_far_off_do_not_move_it_and_gaps_do_not_either() -> None:
    series = [(day(number), 100 + number) for number in range(0, 61, 3) if not 20 < number < 40]
    series[3] = (series[3][0], 9_000)
    series[8] = (series[8][0], 0)
    on, _ = reaches_limit(series, 200)
    assert on == day(100)


def test_the_interval_contains_the_day_and_may_be_open() -> None:
    noisy = [(day(number), 100 + number + (7 if number % 3 else -9)) for number in range(60)]
    on, between = reaches_limit(noisy, 400)
    assert on is not None
    assert between is not None
    early, late = between
    assert early is not None
    assert late is not None
    assert early <= on <= late
    hardly = [(day(number), value) for number, value in enumerate([10, 30, 5, 28, 9, 31, 8, 33])]
    on, between = reaches_limit(hardly, 100)
    assert on is not None
    assert between is not None
    assert between[1] is None, "the lowest slope falls"


def test_no_growth_is_null_and_a_limit_in_centuries_too() -> None:
    assert reaches_limit([(day(0), 50), (day(9), 50)], 100) == (None, None)
    assert reaches_limit([(day(0), 50), (day(400), 51)], 100_000) == (None, None)


def test_a_limit_that_is_met_already_is_met_now() -> None:
    assert reaches_limit([(day(0), 90), (day(10), 110)], 100)[0] == day(10)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 50), st.integers(0, 1000), st.integers(2, 40))
def test_any_straight_line_meets_its_limit_where_arithmetic_says(slope: int, start: int, days: int) -> None:
    series = [(day(number), start + slope * number) for number in range(days)]
    limit = start + slope * (days + 10)
    assert reaches_limit(series, limit)[0] == day(days + 10)
