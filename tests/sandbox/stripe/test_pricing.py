"""Prices by hand: per unit, volume and graduated tiers, flat amounts, fractions of a minor unit."""

from fractions import Fraction
from typing import Any

import pytest

from sandbox.stripe.billing import pricing


def tier(up_to: int | None, unit: int, flat: int | None = None) -> dict[str, Any]:
    return {"up_to": up_to, "unit_amount": unit, "unit_amount_decimal": str(unit), "flat_amount": flat}


def tiered(mode: str, *tiers: dict[str, Any]) -> dict[str, Any]:
    return {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": list(tiers)}


VOLUME = tiered("volume", tier(10, 1000), tier(50, 800), tier(None, 600))
SEATS = [tier(5, 1000), tier(10, 800), tier(None, 500)]


@pytest.mark.parametrize(
    ("quantity", "amount"), [(1, 1000), (10, 10000), (11, 8800), (50, 40000), (51, 30600)]
)
def test_volume_prices_every_unit_by_the_tier_of_the_whole(quantity: int, amount: int) -> None:
    assert pricing.total(VOLUME, quantity) == amount


@pytest.mark.parametrize(
    ("quantity", "amount"), [(3, 3000), (5, 5000), (6, 5800), (8, 7400), (10, 9000), (12, 10000)]
)
def test_graduated_prices_each_unit_by_its_own_tier(quantity: int, amount: int) -> None:
    assert pricing.total(tiered("graduated", *SEATS), quantity) == amount


def test_graduated_makes_one_line_for_each_tier_reached() -> None:
    lines = pricing.parts(tiered("graduated", *SEATS), 8)

    assert [(line.label, int(line.quantity), int(line.amount)) for line in lines] == [
        ("Tier 1", 5, 5000),
        ("Tier 2", 3, 2400),
    ]


def test_each_reached_tier_adds_its_flat_amount_as_a_line() -> None:
    price = tiered("graduated", tier(5, 100, flat=700), tier(None, 50, flat=300))

    assert [part.amount for part in pricing.parts(price, 5)] == [500, 700]
    assert [part.amount for part in pricing.parts(price, 7)] == [500, 700, 100, 300]


def test_the_first_tier_flat_amount_is_due_even_for_nothing() -> None:
    assert pricing.total(tiered("graduated", tier(5, 100, flat=700), tier(None, 50)), 0) == 700


def test_volume_flat_amount_is_that_of_the_one_tier() -> None:
    assert pricing.total(tiered("volume", tier(5, 100, flat=700), tier(None, 50, flat=300)), 6) == 600


def test_decimal_unit_amounts_are_rounded_after_multiplying() -> None:
    price = {"billing_scheme": "per_unit", "unit_amount": None, "unit_amount_decimal": "0.05"}

    assert pricing.round_minor(pricing.total(price, 9)) == 0
    assert pricing.round_minor(pricing.total(price, 10)) == 1
    assert pricing.round_minor(pricing.total(price, 1234)) == 62


def test_packages_round_as_the_price_says() -> None:
    price = {
        "billing_scheme": "per_unit",
        "unit_amount": 500,
        "transform_quantity": {"divide_by": 10, "round": "up"},
    }

    assert pricing.total(price, 11) == 1000
    assert pricing.total({**price, "transform_quantity": {"divide_by": 10, "round": "down"}}, 19) == 500


@pytest.mark.parametrize(
    ("exact", "whole"), [("1/2", 1), ("-1/2", -1), ("49/100", 0), ("-149/100", -1), ("5/2", 3)]
)
def test_halves_round_away_from_zero(exact: str, whole: int) -> None:
    assert pricing.round_minor(Fraction(exact)) == whole


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1000", "eur", "€10.00"),
        ("500", "jpy", "¥500"),
        ("1500", "kwd", "KWD 1.500"),
        ("0.05", "usd", "$0.0005"),
    ],
)
def test_money_is_shown_with_the_currency_s_own_decimals(amount: str, currency: str, text: str) -> None:
    assert pricing.show(Fraction(amount), currency) == text
