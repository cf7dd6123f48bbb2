"""Changes of plan and quantity: rejected, immediate, or scheduled, and how scheduled ones take effect."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.domain.billing_periods import BillingInterval
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog_lookup import build_custom_price_item, build_item
from services.subscriptions.domain.plan_changes import (
    ChangeRequest,
    PlanChange,
    SeatsInUse,
    decide_change,
)
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.self_managed_changes import (
    apply_change_now,
    apply_scheduled_change,
    with_scheduled_change,
)
from services.subscriptions.domain.subscription_state import State, changes
from tallystick.messages.catalog import Price, Product, SeatRule
from tallystick.messages.subscriptions import CustomPrice

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MIDDLE = datetime(2026, 1, 16, 12, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MONTHLY = BillingInterval("month")


def _product(code: str, *, seats: bool = False, kind: Any = "plan") -> Product:
    rule = SeatRule(strategy="per_seat", minimum=2, maximum=50) if seats else None
    return Product(
        product_id=f"prod_{code}",
        version=1,
        code=code,
        name=code,
        description=None,
        kind=kind,
        seats=rule,
        features=[],
        required_details=[],
        archived=False,
        stripe_product_id=f"prod_{code}",
    )


def _price(code: str, amount: int, model: Any = "flat", **fields: Any) -> Price:
    values: dict[str, Any] = {
        "price_id": f"price_{code}",
        "version": 1,
        "code": code,
        "product": code.split("_")[0],
        "model": model,
        "currency": "eur",
        "interval": "month",
        "unit_amount": amount,
        "base_amount": 0,
        "tiers": [],
        "trial_days": None,
        "listed": True,
        "archived": False,
        "stripe_price_id": None,
    }
    return Price(**{**values, **fields})


_PRODUCTS = [
    _product("solo"),
    _product("big"),
    _product("crew", seats=True),
    _product("extra", kind="add_on"),
]
_PRICES = [
    _price("solo_month", 4900),
    _price("solo_year", 49000, interval="year"),
    _price("solo_twelve", 49000, interval_count=12),
    _price("solo_quarter", 13000, interval_count=3),
    _price("solo_half", 28000, interval_count=6),
    _price("big_quarter", 29000, interval_count=3),
    _price("solo_old", 3900, archived=True),
    _price("big_month", 9900),
    _price("crew_month", 1000, "per_seat"),
    _price("crew_usd", 1000, "per_seat", currency="usd"),
    _price("extra_month", 500),
]
SHELF = CatalogView(
    products={product.code: product for product in _PRODUCTS},
    prices={price.code: price for price in _PRICES},
)


def state(*bought: tuple[str, int], **fields: Any) -> State:
    items = tuple(build_item(SHELF, SHELF.prices[code], quantity) for code, quantity in bought)
    values: dict[str, Any] = {"status": "active", "collection": "none", "items": items}
    return State(**{**values, "current_period_start": JANUARY, "current_period_end": FEBRUARY, **fields})


def request(price: str | None = None, quantity: int | None = None, when: Any = None) -> ChangeRequest:
    return ChangeRequest(price=price, quantity=quantity, when=when)


def decided(of: State, wanted: ChangeRequest, occupied: int = 0, members_reported: int = 0) -> PlanChange:
    return decide_change(SHELF, of, wanted, SeatsInUse(occupied, members_reported))


@pytest.mark.parametrize(
    ("runs", "wanted", "how"),
    [
        (("solo_month", 1), request("big_month"), "now"),
        (("big_month", 1), request("solo_month"), "period_end"),
        (("big_month", 1), request("solo_month", when="now"), "now"),
        (("solo_month", 1), request("big_month", when="period_end"), "period_end"),
        # The same plan for longer is more, though a year of it is cheaper than twelve months.
        (("solo_month", 1), request("solo_year"), "now"),
        (("solo_year", 1), request("solo_month"), "period_end"),
        (("solo_month", 1), request("solo_quarter"), "now"),
        (("solo_quarter", 1), request("solo_half"), "now"),
        (("solo_half", 1), request("solo_quarter"), "period_end"),
        (("solo_quarter", 1), request("solo_month"), "period_end"),
        # 290.00 a quarter are 1160.00 a year: more than 12 × 49.00, less than 12 × 99.00.
        (("solo_month", 1), request("big_quarter"), "now"),
        (("big_month", 1), request("solo_quarter"), "period_end"),
        # Twelve months are a year: neither is longer, and neither is less.
        (("solo_twelve", 1), request("solo_year"), "now"),
        # 490.00 a year is less than 12 × 99.00.
        (("big_month", 1), request("solo_year"), "period_end"),
        (("crew_month", 5), request(quantity=6), "now"),
        (("crew_month", 5), request(quantity=4), "period_end"),
        (("crew_month", 5), request(quantity=5), "nothing"),
        (("crew_month", 5), request("crew_month", 6), "now"),
    ],
)
def test_more_is_for_now_and_less_for_later(runs: tuple[str, int], wanted: ChangeRequest, how: str) -> None:
    assert decided(state(runs), wanted).how == how


def test_in_a_trial_everything_is_for_now() -> None:
    trial = state(("crew_month", 5), status="trialing", trial_end=FEBRUARY)
    assert decided(trial, request(quantity=3)).how == "now"
    assert decided(trial, request(quantity=3, when="period_end")).how == "period_end"


@pytest.mark.parametrize(
    ("runs", "wanted", "quantity"),
    [
        (("crew_month", 5), request("solo_month", when="now"), 1),
        (("solo_month", 1), request("crew_month"), 2),
        (("crew_month", 5), request("crew_month", 7), 7),
        (("solo_month", 1), request("crew_month", 9), 9),
    ],
)
def test_how_many_there_are_after_a_change_of_plan(
    runs: tuple[str, int], wanted: ChangeRequest, quantity: int
) -> None:
    assert decided(state(runs), wanted).quantity == quantity


@pytest.mark.parametrize(
    ("runs", "wanted", "code"),
    [
        (("solo_month", 1), request("nothing_here"), "unknown_price"),
        (("solo_month", 1), request("solo_old"), "unknown_price"),
        (("solo_month", 1), request("extra_month"), "unknown_price"),
        (("solo_month", 1), request("solo_month"), "same_price"),
        (("solo_month", 1), request(quantity=2), "quantity_out_of_range"),
        (("crew_month", 5), request(quantity=1), "quantity_out_of_range"),
        (("crew_month", 5), request(quantity=51), "quantity_out_of_range"),
        (("crew_month", 5), request("crew_usd"), "invalid_message"),
    ],
)
def test_what_is_refused(runs: tuple[str, int], wanted: ChangeRequest, code: str) -> None:
    with pytest.raises(RuleViolation) as refusal:
        decided(state(runs), wanted)
    assert refusal.value.code == code


@pytest.mark.parametrize("status", ["incomplete", "past_due", "unpaid", "paused", "canceled", "expired"])
def test_only_what_runs_is_changed(status: Any) -> None:
    with pytest.raises(RuleViolation) as refusal:
        decided(state(("solo_month", 1), status=status), request("big_month"))
    assert (refusal.value.code, refusal.value.details) == ("subscription_not_active", {"status": status})


def test_an_old_price_can_change_quantity_but_not_be_chosen() -> None:
    old = SHELF.prices["crew_month"].model_copy(update={"archived": True})
    shelf = CatalogView(products=SHELF.products, prices={**SHELF.prices, "crew_month": old})
    assert decide_change(shelf, state(("crew_month", 5)), request(quantity=6), SeatsInUse()).how == "now"
    with pytest.raises(RuleViolation) as refusal:
        decide_change(shelf, state(("solo_month", 1)), request("crew_month"), SeatsInUse())
    assert refusal.value.code == "unknown_price"


@pytest.mark.parametrize(("wanted", "is_refused"), [(6, True), (7, False), (8, False)])
def test_taken_seats_cannot_be_sold_back(wanted: int, is_refused: bool) -> None:
    # Ten were bought, five are claimed and two promised.
    crew = state(("crew_month", 10))
    if not is_refused:
        assert decided(crew, request(quantity=wanted), occupied=7).how == "period_end"
        return
    with pytest.raises(RuleViolation) as refusal:
        decided(crew, request(quantity=wanted), occupied=7)
    assert (refusal.value.code, refusal.value.details["occupied"]) == ("seats_in_use", 7)


@pytest.mark.parametrize("wanted", [request(quantity=6), request("solo_month")])
def test_seats_on_machines_cannot_be_sold_back(wanted: ChangeRequest) -> None:
    with pytest.raises(RuleViolation) as refusal:
        decided(state(("crew_month", 10)), wanted, occupied=7, members_reported=7)
    assert refusal.value.code == "seats_in_use" and "on machines" in refusal.value.message
    assert (refusal.value.details["occupied"], refusal.value.details["members_reported"]) == (7, 7)


def test_seats_can_be_added_while_more_are_taken_than_bought() -> None:
    assert decided(state(("crew_month", 3)), request(quantity=5), occupied=7).how == "now"


def test_of_several_items_the_plan_is_meant() -> None:
    both = state(("extra_month", 3), ("crew_month", 5))
    assert decided(both, request(quantity=6)).item.price == "crew_month"
    two_plans = state(("solo_month", 1), ("crew_month", 5))
    assert decided(two_plans, request(quantity=6)).item.price == "crew_month"
    assert decided(two_plans, request("crew_month", 6)).item.price == "crew_month"
    with pytest.raises(RuleViolation):
        decided(state(("solo_month", 1), ("big_month", 1)), request(quantity=2))


def test_a_scheduled_change_takes_effect_exactly_when_due() -> None:
    crew = state(("crew_month", 5))
    waiting = with_scheduled_change(crew, decided(crew, request(quantity=3)))
    assert [change.event for change in changes(crew, waiting)] == ["changeScheduled"]
    assert apply_scheduled_change(waiting, SHELF, JANUARY, MONTHLY, MIDDLE) == (waiting, JANUARY, MONTHLY)
    taken, anchor, interval = apply_scheduled_change(waiting, SHELF, JANUARY, MONTHLY, FEBRUARY)
    assert ([item.quantity for item in taken.items], taken.scheduled_change) == ([3], None)
    assert (anchor, interval) == (JANUARY, MONTHLY)


def test_another_interval_is_counted_from_the_change() -> None:
    crew = state(("solo_month", 1))
    waiting = with_scheduled_change(crew, decided(crew, request("solo_year", when="period_end")))
    _, anchor, interval = apply_scheduled_change(waiting, SHELF, JANUARY, MONTHLY, FEBRUARY)
    assert (anchor, interval) == (FEBRUARY, BillingInterval("year"))
    at_once = apply_change_now(crew, SHELF, decided(crew, request("solo_year")), MIDDLE)
    assert (at_once.current_period_start, at_once.current_period_end) == (
        MIDDLE,
        datetime(2027, 1, 16, 12, tzinfo=UTC),
    )


def test_what_ends_takes_no_change() -> None:
    crew = state(("crew_month", 5))
    waiting = replace(
        with_scheduled_change(crew, decided(crew, request(quantity=3))), cancel_at_period_end=True
    )
    assert apply_scheduled_change(waiting, SHELF, JANUARY, MONTHLY, FEBRUARY)[0] is waiting


def test_the_same_wish_again_and_the_way_back() -> None:
    crew = state(("crew_month", 5))
    waiting = with_scheduled_change(crew, decided(crew, request(quantity=3)))
    assert decided(waiting, request(quantity=3)).how == "nothing"
    assert decided(waiting, request(quantity=5)).how == "unschedule"
    assert decided(waiting, request("crew_month")).how == "unschedule"
    assert decided(waiting, request(quantity=4)).how == "period_end"


def negotiated(amount: int | None, interval: Any = "month", count: int = 1, currency: str = "eur") -> State:
    """The solo plan at a price that was made in Stripe."""
    terms = CustomPrice(unit_amount=amount, currency=currency, interval=interval, interval_count=count)
    item = build_custom_price_item(SHELF, SHELF.products["solo"], 1, "price_negotiated", terms)
    return replace(state(("solo_month", 1)), items=(item,))


@pytest.mark.parametrize(
    ("runs", "wanted", "how", "is_restart"),
    [
        (negotiated(7700), "big_month", "now", False),
        (negotiated(9900), "big_month", "now", False),
        (negotiated(9901), "big_month", "period_end", False),
        # To the list price of the same plan: less, then more.
        (negotiated(7700), "solo_month", "period_end", False),
        (negotiated(2000), "solo_month", "now", False),
        # The same plan for longer, and for shorter.
        (negotiated(7700, count=3), "solo_year", "now", True),
        (negotiated(7700, count=3), "solo_month", "period_end", True),
        # 77.00 for three months are 308.00 a year.
        (negotiated(7700, count=3), "big_month", "now", True),
        # Tiers in Stripe: nobody can say which is more.
        (negotiated(None), "big_month", "now", False),
    ],
)
def test_from_a_negotiated_price_a_plan_can_be_changed(
    runs: State, wanted: str, how: str, is_restart: bool
) -> None:
    change = decided(runs, request(wanted))
    assert (change.how, change.is_restart, change.price.code) == (how, is_restart, wanted)
    assert change.item.stripe_price_id == "price_negotiated"


@pytest.mark.parametrize(
    ("runs", "wanted", "code"),
    [
        (negotiated(7700, currency="usd"), request("big_month"), "invalid_message"),
        (negotiated(7700), request(quantity=0), "quantity_out_of_range"),
        (negotiated(7700), request("negotiated"), "unknown_price"),
    ],
)
def test_what_cannot_be_changed_at_a_negotiated_price(runs: State, wanted: ChangeRequest, code: str) -> None:
    with pytest.raises(RuleViolation) as refusal:
        decided(runs, wanted)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("amount", "quantity", "how"), [(7700, 2, "now"), (None, 2, "now"), (7700, 1, "nothing")]
)
def test_the_quantity_at_a_negotiated_price_can_be_changed(
    amount: int | None, quantity: int, how: str
) -> None:
    change = decided(negotiated(amount), request(quantity=quantity))
    assert (change.how, change.quantity, change.is_restart) == (how, quantity, False)
    assert (change.price_code, change.price.stripe_price_id) == (None, "price_negotiated")
