"""Decisions about a balance below its threshold; amounts are in cents."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consumables.domain.auto_recharge import Purchase, Rule, Skip, decide, period_begin

CHARGE_MAX = 99_999_999


def outcome(
    quantity: int,
    *,
    cap: int | None = None,
    spent: int = 0,
    price: int = 1500,
    threshold: int = 1,
    remaining: int = 0,
) -> Purchase | Skip:
    rule = Rule(threshold, quantity, price, cap, CHARGE_MAX)
    return decide(rule, remaining=remaining, spent=spent, is_unlimited=False, is_suspended=False)


@pytest.mark.parametrize(
    ("remaining", "bought"), [(0, 50), (1, 50), (5, 45), (20, 30), (45, 5), (46, 5), (49, 5)]
)
def test_a_shortfall_of_several_lots_is_one_purchase(remaining: int, bought: int) -> None:
    assert outcome(5, threshold=50, remaining=remaining) == Purchase(bought, bought * 1500)


@given(threshold=st.integers(1, 10**6), quantity=st.integers(1, 10**6), remaining=st.integers(0, 10**6))
def test_one_purchase_leads_back_to_the_threshold_with_no_lot_too_many(
    threshold: int, quantity: int, remaining: int
) -> None:
    remaining = min(remaining, threshold - 1)
    bought = outcome(quantity, threshold=threshold, remaining=remaining, price=1)
    assert isinstance(bought, Purchase)
    assert bought.quantity % quantity == 0
    assert remaining + bought.quantity >= threshold > remaining + bought.quantity - quantity


@pytest.mark.parametrize(
    ("spent", "bought"),
    [
        (0, Purchase(5, 7_500)),
        (2_500, Purchase(5, 7_500)),
        (2_501, Purchase(4, 6_000)),
        (7_500, Purchase(1, 1_500)),
        (8_500, Purchase(1, 1_500)),
        (8_501, Skip("spend_cap_reached")),
        (9_000, Skip("spend_cap_reached")),
        (12_000, Skip("spend_cap_reached")),
    ],
)
def test_a_recharge_is_cut_to_the_whole_units_under_the_cap(spent: int, bought: Purchase | Skip) -> None:
    assert outcome(5, cap=10_000, spent=spent) == bought


def test_without_a_cap_spending_does_not_matter() -> None:
    assert outcome(50, spent=10**9) == Purchase(50, 75_000)


def test_one_payment_is_never_more_than_stripe_takes() -> None:
    assert outcome(1_000_000) == Purchase(66_666, 99_999_000)


def test_unlimited_and_suspended_buy_nothing() -> None:
    rule = Rule(50, 5, 1500, None, CHARGE_MAX)
    assert decide(rule, remaining=0, spent=0, is_unlimited=True, is_suspended=False) == Skip("unlimited")
    assert decide(rule, remaining=0, spent=0, is_unlimited=False, is_suspended=True) == Skip("suspended")


@given(
    quantity=st.integers(1, 10**6),
    price=st.integers(1, 10**6),
    cap=st.integers(0, 10**9),
    spent=st.integers(0, 10**9),
)
def test_recharges_fill_the_cap_and_never_exceed_it(quantity: int, price: int, cap: int, spent: int) -> None:
    bought = outcome(quantity, cap=cap, spent=spent, price=price)
    if isinstance(bought, Skip):
        assert spent + price > cap
        return
    assert bought.amount == bought.quantity * price
    assert spent + bought.amount <= cap
    room_for_more = spent + bought.amount + price <= cap and bought.amount + price <= CHARGE_MAX
    assert bought.quantity == quantity or not room_for_more


def test_spending_counts_from_the_start_of_the_billing_period() -> None:
    start, end = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 2, 15, tzinfo=UTC)
    assert period_begin(start, end, datetime(2026, 2, 14, 23, tzinfo=UTC)) == start
    # Renewed, but that is not known yet.
    assert period_begin(start, end, datetime(2026, 2, 15, 0, 30, tzinfo=UTC)) == end
    # Without a subscription the period is the calendar month.
    assert period_begin(None, None, datetime(2026, 2, 20, 8, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)
