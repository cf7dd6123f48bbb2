"""The details that add-ons require from a buyer."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.domain.add_ons import (
    AddOnState,
    add_on_state_of,
    event_between,
    normalize_domain_name,
    require_add_on_price,
    require_plan,
    validate_details,
)
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import Line, order_lines, require_listed_prices
from services.subscriptions.domain.rule_violation import RuleViolation
from tallystick.messages.catalog import Price, Product
from tallystick.messages.subscriptions import ItemToBuy
from tests.support.subscription_values import subscribed


def product(code: str, kind: Any, *required: str) -> Product:
    return Product(
        product_id=f"product_{code}",
        version=1,
        code=code,
        name=code.title(),
        description=None,
        kind=kind,
        seats=None,
        features=[],
        required_details=list(required),
        archived=False,
        stripe_product_id=None,
    )


def price(code: str, of: str, **fields: Any) -> Price:
    known: dict[str, Any] = {
        "price_id": f"price_{code}",
        "version": 1,
        "code": code,
        "product": of,
        "model": "flat",
        "currency": "eur",
        "interval": "year",
        "unit_amount": 1500,
        "base_amount": 0,
        "tiers": [],
        "trial_days": None,
        "listed": True,
        "archived": False,
        "stripe_price_id": None,
    }
    return Price(**(known | fields))


DOMAIN = product("domain", "add_on", "domain_name", "contact_email")
SHELF = CatalogView(
    products={"domain": DOMAIN, "solo": product("solo", "plan")},
    prices={
        "domain_yearly": price("domain_yearly", "domain"),
        "domain_old": price("domain_old", "domain", archived=True),
        "domain_special": price("domain_special", "domain", listed=False),
        "solo_monthly": price("solo_monthly", "solo"),
        "solo_special": price("solo_special", "solo", listed=False),
    },
)


def test_a_listed_price_of_an_add_on_is_found() -> None:
    found, sold = require_add_on_price(SHELF, "domain_yearly")
    assert (found.code, sold.code) == ("domain_yearly", "domain")


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("nothing", "unknown_price"),
        ("domain_old", "unknown_price"),
        ("domain_special", "unknown_price"),
        ("solo_monthly", "not_an_add_on"),
    ],
)
def test_anything_else_is_refused(code: str, refusal: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        require_add_on_price(SHELF, code)
    assert refused.value.code == refusal


def test_details_are_kept_in_one_form() -> None:
    told = {"domain_name": " Shop.Example. ", "contact_email": "me@shop.example", "note": " gift "}
    assert validate_details(DOMAIN, told) == {
        "domain_name": "shop.example",
        "contact_email": "me@shop.example",
        "note": "gift",
    }


def test_everything_that_is_missing_or_wrong_is_named_at_once() -> None:
    with pytest.raises(RuleViolation) as refused:
        validate_details(DOMAIN, {"domain_name": "not a domain", "contact_email": "  "})
    assert refused.value.code == "add_on_details_required"
    assert refused.value.details == {
        "missing": ["contact_email"],
        "invalid": [{"detail": "domain_name", "problem": "is not a whole domain name, such as shop.example"}],
    }


def test_what_needs_no_details_takes_none() -> None:
    assert validate_details(product("ssl", "add_on"), {}) == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("a.b-c.example", "a.b-c.example"),
        ("1und1.de", "1und1.de"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("x" * 63 + ".example", "x" * 63 + ".example"),
    ],
)
def test_a_domain_name_is_taken(text: str, name: str) -> None:
    assert normalize_domain_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "example",
        "",
        ".",
        "-a.example",
        "a-.example",
        "a..example",
        ".example.com",
        "a_b.example",
        "a b.example",
        "https://a.example",
        "a.example/path",
        "me@a.example",
        "127.0.0.1",
        "*.example",
        "x" * 64 + ".example",
        ".".join(["x" * 60] * 5),
        "a\x00.example",
    ],
)
def test_anything_else_is_no_domain_name(text: str) -> None:
    with pytest.raises(ValueError, match="is "):
        normalize_domain_name(text)


@pytest.mark.parametrize("status", ["trialing", "active", "past_due"])
def test_a_running_plan_allows_add_ons(status: Any) -> None:
    require_plan([subscribed(product="solo", status=status)], frozenset({"domain"}))


@pytest.mark.parametrize(
    "states",
    [
        [],
        [subscribed(product="solo", status="canceled")],
        [subscribed(product="solo", status="unpaid")],
        [subscribed(product="solo", status="incomplete")],
        [subscribed(product="domain")],
    ],
)
def test_without_a_running_plan_there_are_no_add_ons(states: Any) -> None:
    with pytest.raises(RuleViolation) as refused:
        require_plan(states, frozenset({"domain"}))
    assert refused.value.code == "no_active_subscription"


MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (None, AddOnState("incomplete", None), None),
        (None, AddOnState("trialing", None), "purchased"),
        (None, AddOnState("active", None), "purchased"),
        (None, AddOnState("expired", MAY), None),
        (AddOnState("active", None), AddOnState("active", None), None),
        (AddOnState("active", None), AddOnState("active", MAY), "updated"),
        (AddOnState("active", MAY), AddOnState("active", None), "updated"),
        (AddOnState("active", None), AddOnState("past_due", None), "updated"),
        (AddOnState("active", MAY), AddOnState("canceled", MAY), "canceled"),
        (AddOnState("trialing", None), AddOnState("expired", MAY), "canceled"),
        (AddOnState("canceled", MAY), AddOnState("active", None), None),
    ],
)
def test_an_add_on_is_told_once_paid_for_and_never_after_its_end(
    before: AddOnState | None, after: AddOnState, event: str | None
) -> None:
    assert event_between(before, after) == event


def test_an_add_on_ends_when_its_subscription_does() -> None:
    running = replace(subscribed(product="domain"), current_period_end=MAY)
    assert add_on_state_of(running) == AddOnState("active", None)
    assert add_on_state_of(replace(running, cancel_at_period_end=True)) == AddOnState("active", MAY)
    assert add_on_state_of(replace(running, status="canceled", ended_at=MAY)) == AddOnState("canceled", MAY)


def test_what_asks_for_details_is_not_sold_without_them() -> None:
    with pytest.raises(RuleViolation) as refused:
        order_lines(SHELF, [ItemToBuy(price="domain_yearly")], free=False)
    assert refused.value.code == "add_on_details_required"
    assert refused.value.details == {
        "price": "domain_yearly",
        "missing": ["domain_name", "contact_email"],
    }


def test_what_people_sell_is_not_sold_at_checkout() -> None:
    special = [Line(SHELF.prices["solo_special"], SHELF.products["solo"], 1)]
    assert order_lines(SHELF, [ItemToBuy(price="solo_special")], free=False) == special
    with pytest.raises(RuleViolation) as refused:
        require_listed_prices(special)
    assert (refused.value.code, refused.value.details) == ("unknown_price", {"price": "solo_special"})
    require_listed_prices([Line(SHELF.prices["solo_monthly"], SHELF.products["solo"], 1)])
