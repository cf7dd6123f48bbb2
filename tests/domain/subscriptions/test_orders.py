"""Rules for orders, and billing periods."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.domain.billing_periods import BillingInterval, period_containing
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog_lookup import build_item
from services.subscriptions.domain.orders import (
    exclusive_codes,
    find_subscription_with_plan,
    order_lines,
    trial_days,
)
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import (
    Feature,
    Interval,
    Price,
    Product,
    ProductFeature,
    ProductKind,
    SeatRule,
)
from tallystick.messages.subscriptions import ItemToBuy


def price(code: str, product: str, model: str = "flat", **fields: Any) -> Price:
    return Price(
        price_id=f"price_{code}",
        version=1,
        code=code,
        product=product,
        **{
            "model": model,
            "currency": "eur",
            "interval": "month",
            "unit_amount": 1000,
            "base_amount": 0,
            "tiers": [],
            "trial_days": None,
            "listed": True,
            "archived": False,
            "stripe_price_id": None,
            **fields,
        },
    )


def product(code: str, seats: SeatRule | None = None, kind: ProductKind = "plan") -> Product:
    return Product(
        product_id=f"product_{code}",
        version=1,
        code=code,
        name=code,
        description=None,
        kind=kind,
        seats=seats,
        features=[ProductFeature(feature="api", quantity=None, every=None, team_allowed=False)],
        required_details=[],
        archived=False,
        stripe_product_id=None,
    )


SHELF = CatalogView(
    features={
        "api": Feature(
            feature_id="feature_api",
            version=1,
            code="api",
            name="API",
            description=None,
            kind="flag",
            unit_price=None,
            archived=False,
        )
    },
    products={
        "solo": product("solo"),
        "free": product("free"),
        "team": product("team", SeatRule(strategy="per_seat", minimum=2, maximum=50)),
        "crew": product("crew", SeatRule(strategy="per_team")),
        "mail": product("mail", kind="add_on"),
    },
    prices={
        listed.code: listed
        for listed in (
            price("solo_monthly", "solo", trial_days=14),
            price("solo_yearly", "solo", interval="year", trial_days=0),
            price("solo_more", "solo"),
            price("solo_old", "solo", archived=True),
            price("free_monthly", "free", "free", currency=None, unit_amount=None),
            price("team_monthly", "team", "per_seat"),
            price("crew_monthly", "crew", "per_seat"),
            price("mail_monthly", "mail", "per_seat"),
            price("mail_more", "mail", "per_seat"),
            price("mail_flat", "mail"),
        )
    },
)


def buy(code: str, quantity: int | None = None) -> ItemToBuy:
    return ItemToBuy(price=code, quantity=quantity)


@pytest.mark.parametrize("code", ["nothing", "solo_old", "free_monthly"])
def test_a_checkout_sells_only_what_the_catalog_sells_for_money(code: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        order_lines(SHELF, [buy(code)], free=False)

    assert (refused.value.code, refused.value.details) == ("unknown_price", {"price": code})


def test_what_costs_money_is_not_given_away() -> None:
    with pytest.raises(RuleViolation, match="start_checkout"):
        order_lines(SHELF, [buy("solo_monthly")], free=True)


@pytest.mark.parametrize(
    ("code", "quantity"), [("team_monthly", 1), ("team_monthly", 51), ("solo_monthly", 2)]
)
def test_a_quantity_outside_of_its_bounds_is_refused(code: str, quantity: int) -> None:
    with pytest.raises(RuleViolation) as refused:
        order_lines(SHELF, [buy(code, quantity)], free=False)

    assert refused.value.code == "quantity_out_of_range"


def test_without_a_quantity_the_fewest_are_bought() -> None:
    lines = order_lines(SHELF, [buy("team_monthly"), buy("mail_monthly", 7)], free=False)

    assert [line.quantity for line in lines] == [2, 7]


@pytest.mark.parametrize(
    ("first", "second"), [("solo_monthly", "solo_more"), ("team_monthly", "crew_monthly")]
)
def test_one_subscription_has_a_plan_once_and_one_team(first: str, second: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        order_lines(SHELF, [buy(first), buy("mail_monthly"), buy(second)], free=False)

    assert (refused.value.code, refused.value.details) == ("invalid_message", {"prices": [first, second]})
    together = [buy("solo_more"), buy("team_monthly"), buy("mail_monthly"), buy("mail_more")]
    assert len(order_lines(SHELF, together, free=False)) == 4


def test_one_subscription_has_one_interval() -> None:
    with pytest.raises(RuleViolation) as refused:
        order_lines(SHELF, [buy("solo_yearly"), buy("team_monthly", 2)], free=False)

    assert refused.value.code == "invalid_message"


@pytest.mark.parametrize(
    ("code", "wanted", "is_first", "days"),
    [
        ("solo_monthly", None, True, 14),
        ("solo_monthly", None, False, 0),
        ("solo_monthly", True, False, 14),
        ("solo_monthly", False, True, 0),
        ("solo_yearly", None, True, 0),
        ("team_monthly", None, True, 30),
    ],
)
def test_a_trial_is_the_price_s_or_the_installation_s(
    code: str, wanted: bool | None, is_first: bool, days: int
) -> None:
    lines = order_lines(SHELF, [buy(code)], free=False)

    assert trial_days(lines, 30, wanted=wanted, is_first=is_first) == days


def test_a_plan_and_a_flag_are_had_once_and_what_is_sold_by_quantity_as_often_as_one_likes() -> None:
    lines = order_lines(SHELF, [buy("solo_monthly"), buy("mail_monthly")], free=False)
    flags = order_lines(SHELF, [buy("solo_monthly"), buy("mail_flat")], free=False)
    solo = State(
        status="incomplete",
        collection="automatic",
        items=(build_item(SHELF, SHELF.prices["solo_yearly"], 1),),
        current_period_start=None,
        current_period_end=None,
    )

    assert exclusive_codes(SHELF, lines) == ["solo"]
    assert exclusive_codes(SHELF, flags) == ["mail", "solo"]
    assert find_subscription_with_plan(exclusive_codes(SHELF, lines), [("sub_a", solo)]) == "sub_a"
    assert find_subscription_with_plan(["team"], [("sub_a", solo)]) is None


def test_an_item_carries_what_others_need_to_know_of_the_catalog() -> None:
    made = build_item(SHELF, SHELF.prices["team_monthly"], 5)

    assert (made.product, made.price, made.quantity) == ("team", "team_monthly", 5)
    assert made.seats == SeatRule(strategy="per_seat", minimum=2, maximum=50)
    assert [(feature.feature, feature.kind) for feature in made.features] == [("api", "flag")]


@pytest.mark.parametrize(
    ("interval", "count", "moment", "start", "end"),
    [
        ("month", 1, "2026-01-31T00:00", "2026-01-31", "2026-02-28"),
        ("month", 1, "2026-03-01T00:00", "2026-02-28", "2026-03-31"),
        ("month", 1, "2028-02-29T12:00", "2028-02-29", "2028-03-31"),
        ("year", 1, "2030-01-30T23:59", "2029-01-31", "2030-01-31"),
        ("week", 1, "2026-02-14T00:00", "2026-02-14", "2026-02-21"),
        ("day", 1, "2026-02-14T13:00", "2026-02-14", "2026-02-15"),
        ("month", 1, "2025-12-01T00:00", "2026-01-31", "2026-02-28"),
        ("month", 3, "2026-01-31T00:00", "2026-01-31", "2026-04-30"),
        ("month", 3, "2026-04-30T00:00", "2026-04-30", "2026-07-31"),
        ("month", 6, "2027-01-30T23:59", "2026-07-31", "2027-01-31"),
        ("month", 13, "2027-02-27T23:59", "2026-01-31", "2027-02-28"),
        ("month", 13, "2027-02-28T00:00", "2027-02-28", "2028-03-31"),
        ("week", 2, "2026-02-13T23:59", "2026-01-31", "2026-02-14"),
        ("week", 2, "2026-02-14T00:00", "2026-02-14", "2026-02-28"),
        ("day", 90, "2026-05-01T00:00", "2026-05-01", "2026-07-30"),
        ("year", 2, "2028-01-31T00:00", "2028-01-31", "2030-01-31"),
        ("year", 3, "2026-01-30T00:00", "2026-01-31", "2029-01-31"),
    ],
)
def test_periods_are_counted_from_the_anchor(
    interval: Interval, count: int, moment: str, start: str, end: str
) -> None:
    anchor = datetime(2026, 1, 31, tzinfo=UTC)

    found = period_containing(
        anchor, BillingInterval(interval, count), datetime.fromisoformat(moment).replace(tzinfo=UTC)
    )

    assert [bound.date().isoformat() for bound in found] == [start, end]
