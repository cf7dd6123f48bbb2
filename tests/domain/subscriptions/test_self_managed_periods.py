"""Self-managed billing periods: trial, renewal, pause and end by the calendar."""

from dataclasses import replace
from datetime import UTC, datetime

from services.subscriptions.domain.billing_periods import BillingInterval
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.self_managed_periods import (
    advance_period,
    initial_anchor,
    initial_state,
    paused,
    resumed,
)
from services.subscriptions.domain.subscription_state import changes
from tallystick.messages.catalog import Price, Product


def on(month: int, day: int, year: int = 2026) -> datetime:
    return datetime(year, month, day, 9, tzinfo=UTC)


PRODUCT = Product(
    product_id="product_shop",
    version=1,
    code="shop",
    name="Shop",
    description=None,
    kind="plan",
    seats=None,
    features=[],
    required_details=[],
    archived=False,
    stripe_product_id=None,
)
PRICE = Price(
    price_id="price_shop",
    version=1,
    code="shop_monthly",
    product="shop",
    currency="eur",
    interval="month",
    model="flat",
    unit_amount=4900,
    base_amount=0,
    tiers=[],
    trial_days=None,
    listed=True,
    archived=False,
    stripe_price_id=None,
)
MONTHLY = BillingInterval("month")
SHELF = CatalogView(products={"shop": PRODUCT}, prices={"shop_monthly": PRICE})
LINES = [Line(PRICE, PRODUCT, 1)]


def test_without_a_trial_the_first_period_begins_at_once() -> None:
    state = initial_state(SHELF, LINES, on(1, 31))

    assert (state.status, state.collection, state.current_period_start, state.current_period_end) == (
        "active",
        "none",
        on(1, 31),
        on(2, 28),
    )
    assert initial_anchor(state) == on(1, 31)


def test_a_trial_comes_before_the_first_period() -> None:
    state = initial_state(SHELF, LINES, on(1, 1), trial_days=14)

    assert (state.status, state.trial_end, state.current_period_end) == ("trialing", on(1, 15), on(1, 15))
    after = advance_period(state, SHELF, on(1, 15), MONTHLY, on(1, 15))
    assert (after.status, after.current_period_start, after.current_period_end) == (
        "active",
        on(1, 15),
        on(2, 15),
    )
    assert [change.event for change in changes(state, after)] == ["activated"]


def test_three_missed_periods_are_one_renewal() -> None:
    state = initial_state(SHELF, LINES, on(1, 31))

    after = advance_period(state, SHELF, on(1, 31), MONTHLY, on(5, 2))

    assert (after.current_period_start, after.current_period_end) == (on(4, 30), on(5, 31))
    assert [change.event for change in changes(state, after)] == ["renewed"]


def test_a_pause_within_the_period_leaves_the_period() -> None:
    state = initial_state(SHELF, LINES, on(1, 1))

    after = resumed(paused(state), SHELF, on(1, 1), MONTHLY, on(1, 20))

    assert after == state
    assert [change.event for change in changes(paused(state), after)] == ["resumed"]


def test_a_pause_past_the_period_end_resumes_in_the_current_one() -> None:
    state = initial_state(SHELF, LINES, on(1, 1))

    after = resumed(paused(state), SHELF, on(1, 1), MONTHLY, on(3, 10))

    assert (after.status, after.current_period_start, after.current_period_end) == (
        "active",
        on(3, 1),
        on(4, 1),
    )


def test_a_paused_trial_goes_on_as_a_trial() -> None:
    state = initial_state(SHELF, LINES, on(1, 1), trial_days=14)

    assert resumed(paused(state), SHELF, on(1, 15), MONTHLY, on(1, 10)) == state


def test_what_was_to_end_ends_though_paused() -> None:
    state = replace(paused(initial_state(SHELF, LINES, on(1, 1))), cancel_at_period_end=True)

    after = resumed(state, SHELF, on(1, 1), MONTHLY, on(2, 3))

    assert (after.status, after.ended_at) == ("canceled", on(2, 1))


QUARTER = PRICE.model_copy(update={"code": "shop_quarterly", "interval_count": 3})
QUARTERS = CatalogView(products={"shop": PRODUCT}, prices={"shop_quarterly": QUARTER})
QUARTERLY = BillingInterval("month", 3)


def test_periods_of_three_months_never_drift_from_the_31st() -> None:
    state = initial_state(QUARTERS, [Line(QUARTER, PRODUCT, 1)], on(1, 31))
    ends = [state.current_period_end]
    for _ in range(4):
        state = advance_period(state, QUARTERS, on(1, 31), QUARTERLY, state.current_period_end or on(1, 31))
        ends.append(state.current_period_end)

    assert ends == [on(4, 30), on(7, 31), on(10, 31), on(1, 31, 2027), on(4, 30, 2027)]
    assert [(item.interval, item.interval_count) for item in state.items] == [("month", 3)]


def test_two_years_from_29_february_come_back_to_it() -> None:
    two_years = BillingInterval("year", 2)
    state = initial_state(QUARTERS, [Line(QUARTER, PRODUCT, 1)], on(2, 29, 2024))
    first = advance_period(state, QUARTERS, on(2, 29, 2024), two_years, on(3, 1, 2026))
    second = advance_period(first, QUARTERS, on(2, 29, 2024), two_years, on(2, 29, 2028))

    assert (first.current_period_start, first.current_period_end) == (on(2, 28), on(2, 29, 2028))
    assert (second.current_period_start, second.current_period_end) == (on(2, 29, 2028), on(2, 28, 2030))


def test_a_trial_is_followed_by_the_first_three_months() -> None:
    state = initial_state(QUARTERS, [Line(QUARTER, PRODUCT, 1)], on(1, 17), trial_days=14)
    after = advance_period(state, QUARTERS, on(1, 31), QUARTERLY, on(1, 31))

    assert (after.status, after.current_period_start, after.current_period_end) == (
        "active",
        on(1, 31),
        on(4, 30),
    )


def test_a_pause_over_two_quarters_resumes_in_the_running_one() -> None:
    state = initial_state(QUARTERS, [Line(QUARTER, PRODUCT, 1)], on(1, 31))
    after = resumed(paused(state), QUARTERS, on(1, 31), QUARTERLY, on(9, 1))

    assert (after.status, after.current_period_start, after.current_period_end) == (
        "active",
        on(7, 31),
        on(10, 31),
    )
