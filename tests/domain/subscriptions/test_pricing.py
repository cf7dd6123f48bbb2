"""Amounts of prices and of parts of a period: hand-calculated examples and general properties."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.domain.pricing import PricePart, period_amount, price_parts, yearly_amount
from services.subscriptions.domain.proration import PricedQuantity, prorated, proration_lines, share_left
from tallystick.messages.catalog import Price
from tests.support.price_values import price, prices

JANUARY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


VOLUME = price("volume", (10, 1000, 0), (50, 800, 0), (None, 600, 0))
STEPS = ((5, 1000, 0), (10, 800, 0), (None, 500, 0))


@pytest.mark.parametrize(("seats", "amount"), [(1, 1000), (10, 10000), (11, 8800), (50, 40000), (51, 30600)])
def test_volume_charges_every_seat_at_the_reached_tier(seats: int, amount: int) -> None:
    assert period_amount(VOLUME, seats) == amount


@pytest.mark.parametrize(("seats", "amount"), [(3, 3000), (5, 5000), (8, 7400), (10, 9000), (12, 10000)])
def test_graduated_charges_each_seat_at_its_own_tier(seats: int, amount: int) -> None:
    assert period_amount(price("graduated", *STEPS), seats) == amount


@pytest.mark.parametrize(
    ("wanted", "quantity", "amount"),
    [
        (price("free"), 5, 0),
        (price("flat", unit_amount=4900), 1, 4900),
        (price("flat", unit_amount=4900), 7, 4900),
        (price("per_seat", unit_amount=1000), 7, 7000),
        (price("per_seat", unit_amount=1000, base_amount=2500), 7, 9500),
        # 20.00 for being in the tier, 8 × 8.00, and 5.00 as a base.
        (price("volume", (5, 1000, 500), (None, 800, 2000), base_amount=500), 8, 8900),
        # 5.00 + 5 × 10.00 + 20.00 + 3 × 8.00, and 5.00 as a base.
        (price("graduated", (5, 1000, 500), (None, 800, 2000), base_amount=500), 8, 10400),
        # The second tier is not reached: its fee is not due.
        (price("graduated", (5, 1000, 500), (None, 800, 2000)), 5, 5500),
        (price("graduated", (5, 0, 9900), (None, 1500, 0)), 7, 12900),
        (price("per_seat", unit_amount=500, currency="jpy"), 3, 1500),
        (price("per_seat", unit_amount=1500, currency="kwd"), 3, 4500),
    ],
)
def test_what_each_model_asks_for(wanted: Price, quantity: int, amount: int) -> None:
    assert period_amount(wanted, quantity) == amount


def test_an_amount_is_told_in_its_parts() -> None:
    graduated = price("graduated", (5, 1000, 500), (None, 800, 0), base_amount=250)
    assert price_parts(graduated, 8) == [
        PricePart("base", 1, 250),
        PricePart("tier 1", 5, 1000),
        PricePart("tier 1 fee", 1, 500),
        PricePart("tier 2", 3, 800),
    ]


def test_nothing_cannot_be_bought() -> None:
    with pytest.raises(ValueError, match="0 units"):
        period_amount(VOLUME, 0)


def test_prices_of_different_intervals_are_compared_by_the_year() -> None:
    assert yearly_amount(price("flat", unit_amount=4900), 1) == 58800
    assert yearly_amount(price("flat", unit_amount=49000, interval="year"), 1) == 49000


def test_half_a_month_is_settled_by_the_second() -> None:
    # From 3 seats (30.00) to 8 (64.00) at noon on the 16th of a month of 31 days: half is left.
    seats = price("volume", *STEPS)
    share = share_left(*JANUARY, datetime(2026, 1, 16, 12, tzinfo=UTC))
    assert share == Fraction(1, 2)
    lines = proration_lines(PricedQuantity(seats, 3), PricedQuantity(seats, 8), share)
    assert [(line.bought.quantity, line.amount) for line in lines] == [(3, -1500), (8, 3200)]


def test_half_a_minor_unit_is_rounded_away_from_zero() -> None:
    odd, half = price("flat", unit_amount=4901), Fraction(1, 2)
    dearer = price("flat", unit_amount=9903, code="other_monthly")
    lines = proration_lines(PricedQuantity(odd, 1), PricedQuantity(dearer, 1), half)
    assert [line.amount for line in lines] == [-2451, 4952]


def test_a_past_period_prorates_nothing_and_a_future_one_all() -> None:
    start, end = JANUARY
    assert share_left(start, end, end + timedelta(days=3)) == 0
    assert share_left(start, end, start - timedelta(days=3)) == 1
    assert proration_lines(PricedQuantity(VOLUME, 3), PricedQuantity(VOLUME, 8), Fraction(0)) == []
    with pytest.raises(ValueError, match="must end after"):
        share_left(end, end, end)


def test_the_same_again_makes_no_lines() -> None:
    assert proration_lines(PricedQuantity(VOLUME, 3), PricedQuantity(VOLUME, 3), Fraction(1, 2)) == []


@given(prices, st.integers(1, 1_000_000))
def test_the_parts_are_the_whole_and_count_every_unit_once(wanted: Price, quantity: int) -> None:
    parts = price_parts(wanted, quantity)
    assert sum(part.amount for part in parts) == period_amount(wanted, quantity)
    units = sum(part.quantity for part in parts if part.label not in ("base",) and "fee" not in part.label)
    assert units == quantity


@given(prices, st.integers(1, 1000), st.integers(1, 1000), st.fractions(0, 1))
def test_there_and_back_at_once_costs_nothing(wanted: Price, few: int, many: int, share: Fraction) -> None:
    there = proration_lines(PricedQuantity(wanted, few), PricedQuantity(wanted, many), share)
    back = proration_lines(PricedQuantity(wanted, many), PricedQuantity(wanted, few), share)
    assert sum(line.amount for line in [*there, *back]) == 0


@given(prices, st.integers(1, 1000), st.integers(0, 10**6))
def test_a_period_cut_in_two_costs_what_it_costs_whole(wanted: Price, quantity: int, cut: int) -> None:
    # Each of the two roundings is half a minor unit off at most.
    share, bought = Fraction(cut, 10**6), PricedQuantity(wanted, quantity)
    total = prorated(bought, share) + prorated(bought, 1 - share)
    assert abs(total - period_amount(wanted, quantity)) <= 1
