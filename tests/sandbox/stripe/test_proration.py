"""Proration by hand: by the second, each line rounded by itself, over months of any length."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe.billing import calendar, proration


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def price(unit: int, name: str = "p", interval: str = "month", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "billing_scheme": "per_unit",
        "unit_amount": unit,
        "recurring": {"interval": interval, "interval_count": 1, "usage_type": "licensed"},
        **more,
    }


JANUARY = (at("2026-01-01"), at("2026-02-01"))


def item(
    of: dict[str, Any], quantity: int, period: tuple[int, int] = JANUARY, item_id: str = "si_1"
) -> proration.Item:
    return proration.Item(item_id, of, quantity, period[0], period[1], period[0])


def amounts(lines: list[proration.Proration]) -> list[int]:
    return [line.amount for line in lines]


VOLUME = price(0) | {
    "billing_scheme": "tiered",
    "tiers_mode": "volume",
    "tiers": [
        {"up_to": 5, "unit_amount": 1000},
        {"up_to": 10, "unit_amount": 800},
        {"up_to": None, "unit_amount": 500},
    ],
}


def test_a_change_at_half_of_a_31_day_month_prorates_halves() -> None:
    lines = proration.between([item(VOLUME, 3)], [item(VOLUME, 8)], at("2026-01-16T12:00:00"))

    assert amounts(lines) == [-1500, 3200]
    assert [(line.start, line.end) for line in lines] == [(at("2026-01-16T12:00:00"), at("2026-02-01"))] * 2


def test_each_line_is_rounded_by_itself() -> None:
    # 10 of 31 days left: 1000 * 10/31 = 322.58 and 999 * 10/31 = 322.26
    lines = proration.between([item(price(1000), 1)], [item(price(999, "q"), 1)], at("2026-01-22"))

    assert amounts(lines) == [-323, 322]


def test_one_second_before_the_end_is_worth_one_second() -> None:
    # a January has 2,678,400 seconds; 2,678,400 minor units a month is one a second
    lines = proration.between([item(price(2_678_400), 1)], [], at("2026-01-31T23:59:59"))

    assert amounts(lines) == [-1]


def test_the_same_item_makes_no_lines() -> None:
    assert proration.between([item(VOLUME, 3)], [item(VOLUME, 3)], at("2026-01-16")) == []


def test_an_added_item_is_charged_and_a_removed_one_credited() -> None:
    half = at("2026-01-16T12:00:00")
    added = item(price(500, "x"), 2, item_id="si_2")

    assert amounts(proration.between([item(VOLUME, 3)], [item(VOLUME, 3), added], half)) == [500]
    assert amounts(proration.between([item(VOLUME, 3), added], [added], half)) == [-1500]


def test_metered_items_are_never_prorated() -> None:
    metered = price(100)
    metered["recurring"]["usage_type"] = "metered"

    assert proration.between([], [item(metered, 1)], JANUARY[0]) == []


def test_a_stub_period_counts_against_its_full_length() -> None:
    # from 16 January 12:00 to the anchor on 1 February: half a month of 1000
    stub = proration.Item(
        "si_1", price(1000), 1, at("2026-01-16T12:00:00"), at("2026-02-01"), at("2026-02-01")
    )

    assert proration.remaining_time(stub, stub.period_start).amount == 500


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-03-31"),
        ("2026-03-31", "2026-04-30"),
        ("2027-12-31", "2028-01-31"),
    ],
)
def test_an_anchor_on_the_31st_keeps_to_the_31st(after: str, expected: str) -> None:
    assert calendar.next_boundary(at("2026-01-31"), "month", 1, at(after)) == at(expected)


def test_a_leap_day_is_kept_every_four_years() -> None:
    anchor = at("2028-02-29T10:30:00")

    assert calendar.next_boundary(anchor, "year", 1, anchor) == at("2029-02-28T10:30:00")
    assert calendar.next_boundary(anchor, "year", 1, at("2031-03-01")) == at("2032-02-29T10:30:00")


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [
        ("day", 10, "2026-01-11"),
        ("week", 2, "2026-01-15"),
        ("month", 3, "2026-04-01"),
        ("year", 2, "2028-01-01"),
    ],
)
def test_intervals_come_in_counts(interval: str, count: int, expected: str) -> None:
    assert calendar.next_boundary(at("2026-01-01"), interval, count, at("2026-01-01")) == at(expected)


def test_boundaries_before_the_anchor_are_found_too() -> None:
    anchor = at("2026-03-31")

    assert calendar.previous_boundary(anchor, "month", 1, anchor) == at("2026-02-28")
    assert calendar.previous_boundary(anchor, "month", 1, at("2026-02-28")) == at("2026-01-31")
    assert calendar.next_boundary(anchor, "month", 1, at("2026-01-15")) == at("2026-01-31")


def test_a_day_of_the_month_is_clamped_to_short_months() -> None:
    assert calendar.anchor_on_day(at("2026-02-10"), 31, None, None, None) == at("2026-02-28")
    assert calendar.anchor_on_day(at("2026-01-20"), 15, 0, 0, 0) == at("2026-02-15")


MOMENTS = st.integers(JANUARY[0], JANUARY[1])


@given(st.integers(0, 10**6), st.integers(0, 500), MOMENTS)
def test_a_credit_mirrors_the_charge_of_the_same_time(amount: int, quantity: int, moment: int) -> None:
    billed = item(price(amount), quantity)

    assert proration.unused_time(billed, moment).amount == -proration.remaining_time(billed, moment).amount


@given(st.integers(0, 10**6), st.lists(MOMENTS, min_size=1, max_size=5))
def test_changing_back_and_forth_costs_no_more_than_the_rounding(amount: int, moments: list[int]) -> None:
    small, large = item(price(amount), 1), item(price(amount), 3)
    charged, holds = 0, small
    for moment in sorted(moments):
        wanted = large if holds is small else small
        charged += sum(amounts(proration.between([holds], [wanted], moment)))
        holds = wanted
    edges = [*sorted(moments), JANUARY[1]]
    seconds = sum(end - start for start, end in zip(edges[::2], edges[1::2], strict=False))
    exact = 2 * amount * seconds / (JANUARY[1] - JANUARY[0])

    assert abs(charged - exact) <= len(moments)
