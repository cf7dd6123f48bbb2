"""What a subscription is worth a month: exact, whatever its period and tiers."""

from fractions import Fraction

import pytest

from services.monitoring.domain.prices import Item, PriceTerms, monthly_price, period_amount
from tests.support.revenue_values import PRICES


@pytest.mark.parametrize(
    ("price", "quantity", "amount"),
    [
        ("solo", 1, Fraction(4900)),
        ("solo", 7, Fraction(4900)),
        ("seats", 7, Fraction(7000)),
        ("yearly", 1, Fraction(10000, 12)),
        ("quarterly", 1, Fraction(10000, 3)),
        ("weekly", 1, Fraction(300 * 52, 12)),
        ("fortnightly", 1, Fraction(300 * 26, 12)),
        ("daily", 1, Fraction(100 * 365, 12)),
        ("volume", 10, Fraction(10000)),
        ("volume", 11, Fraction(8800)),
        ("graduated", 8, Fraction(7400)),
        ("graduated", 12, Fraction(10000)),
        ("free", 3, Fraction(0)),
        ("unknown", 1, Fraction(0)),
    ],
)
def test_a_price_at_its_quantity_a_month(price: str, quantity: int, amount: Fraction) -> None:
    assert monthly_price([Item(price, quantity)], PRICES).amount == amount


def test_items_add_up_and_nothing_of_graduated_costs_nothing() -> None:
    assert monthly_price([Item("solo", 1), Item("seats", 3)], PRICES).amount == 7900
    assert period_amount(PRICES["graduated"], 0) == 0
    assert period_amount(PRICES["volume"], 0) == 0


def test_a_price_made_in_stripe_counts_by_its_own_terms() -> None:
    terms = PriceTerms("per_seat", "usd", "month", interval_count=6, unit_amount=60_000)
    price = monthly_price([Item(None, 2, terms)], PRICES)
    assert price.amount == 20_000
    assert price.currency == "usd"
