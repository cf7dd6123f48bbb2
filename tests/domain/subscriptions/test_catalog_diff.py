"""The changes that a catalog document makes, and the changes that are not allowed."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from services.subscriptions.catalog.document_parser import read_document
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog.diff import (
    CatalogPlan,
    DesiredCatalog,
    desired_catalog,
    plan_changes,
    with_stripe_ids,
)
from services.subscriptions.domain.catalog.immutability import (
    immutable_field_changes,
    immutable_price_changes,
)
from tallystick.messages.catalog import CatalogChanges, CatalogDocument, CodeChanges, Price, Product
from tests.support.catalogs import team_catalog


@dataclass(frozen=True)
class Ids:
    products: dict[str, str] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)


def desired(document: Any, current: CatalogView) -> DesiredCatalog:
    read = read_document(document)
    assert isinstance(read, CatalogDocument), read
    return desired_catalog(read, current, lambda prefix: f"{prefix}_new")


def plan(document: Any, current: CatalogView, *, in_stripe: bool = False) -> CatalogPlan:
    return plan_changes(desired(document, current), current, in_stripe=in_stripe)


def applied(document: Any, before: CatalogView | None = None, ids: Ids | None = None) -> CatalogView:
    """Return the catalog after a document was applied; `ids` are those given by Stripe."""
    before = before or CatalogView()
    ids = ids or Ids()
    steps = with_stripe_ids(plan(document, before, in_stripe=bool(ids.products)), ids.products, ids.prices)
    return CatalogView(
        features={**before.features, **{step.after.code: step.after for step in steps.features}},
        products={**before.products, **{step.after.code: step.after for step in steps.products}},
        prices={**before.prices, **{step.after.code: step.after for step in steps.prices}},
    )


def product_of(view: CatalogView, code: str) -> Product:
    found = view.product(code)
    assert found
    return found


def price_of(view: CatalogView, code: str) -> Price:
    found = view.price(code)
    assert found
    return found


def test_a_first_document_creates_everything_at_version_1() -> None:
    steps = plan(team_catalog(), CatalogView())
    assert steps.changes == CatalogChanges(
        features=CodeChanges(created=["transcription", "members", "hours"]),
        products=CodeChanges(created=["solo", "team"]),
        prices=CodeChanges(created=["solo_monthly", "solo_free", "team_yearly"]),
    )
    assert {step.after.version for step in steps.products} == {1}


def test_the_same_document_again_changes_nothing() -> None:
    assert plan(team_catalog(), applied(team_catalog())).is_empty


def test_saying_a_default_out_loud_changes_nothing() -> None:
    document = team_catalog()
    current = applied(document)
    document["products"][0]["features"][0]["team_allowed"] = False
    document["products"][1]["features"][0]["team_allowed"] = True
    document["products"][1]["seats"] |= {"owner_seat": "free", "minimum": 1}
    document["products"][0]["prices"][1]["interval"] = "month"
    assert plan(document, current).is_empty


def test_defaults_of_who_may_use_a_feature_depend_on_seats() -> None:
    view = applied(team_catalog())
    assert [grant.team_allowed for grant in product_of(view, "solo").features] == [False, False]
    assert [grant.team_allowed for grant in product_of(view, "team").features] == [True, True, False]


def test_an_edit_updates_one_product_and_leaves_the_others() -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["products"][1]["features"][1]["quantity"] = 20
    steps = plan(document, current)
    assert steps.changes == CatalogChanges(products=CodeChanges(updated=["team"]))
    assert steps.products[0].after.version == 2
    assert steps.products[0].after.features[1].quantity == 20
    assert product_of(current, "team").features[1].quantity == 10


def test_what_disappears_is_archived_once() -> None:
    document = team_catalog()
    current = applied(document)
    del document["products"][1]
    steps = plan(document, current)
    assert steps.changes == CatalogChanges(
        products=CodeChanges(archived=["team"]), prices=CodeChanges(archived=["team_yearly"])
    )
    gone = applied(document, current)
    assert product_of(gone, "team").archived
    assert product_of(gone, "team").version == 2
    assert plan(document, gone).is_empty


def test_what_comes_back_keeps_its_id_and_counts_on() -> None:
    without_team = team_catalog()
    del without_team["products"][1]
    gone = applied(without_team, applied(team_catalog()))
    steps = plan(team_catalog(), gone)
    assert steps.changes == CatalogChanges(
        products=CodeChanges(updated=["team"]), prices=CodeChanges(updated=["team_yearly"])
    )
    back = steps.prices[0].after
    assert (back.archived, back.version, back.price_id) == (
        False,
        3,
        price_of(gone, "team_yearly").price_id,
    )


def test_another_order_of_the_document_is_no_change() -> None:
    document = team_catalog()
    current = applied(document)
    document["products"].reverse()
    steps = plan(document, current)
    assert steps.is_empty
    assert steps.product_order == ["team", "solo"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("unit_amount", 5000), ("currency", "usd"), ("interval", "year"), ("model", "per_seat")],
)
def test_the_money_of_a_price_cannot_change(field: str, value: object) -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["products"][0]["prices"][0][field] = value
    found = immutable_price_changes(desired(document, current), current)
    assert [(price.path, price.price, price.fields) for price in found] == [
        ("products[0].prices[0]", "solo_monthly", [field])
    ]


def test_tiers_are_money_too() -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["products"][1]["prices"][0]["tiers"][0]["up_to"] = 6
    assert immutable_price_changes(desired(document, current), current)[0].fields == ["tiers"]


def test_an_archived_price_does_not_come_back_with_other_money() -> None:
    document = team_catalog()
    del document["products"][0]["prices"][0]
    gone = applied(document, applied(team_catalog()))
    document = team_catalog()
    document["products"][0]["prices"][0]["unit_amount"] = 5900
    assert immutable_price_changes(desired(document, gone), gone)[0].fields == ["unit_amount"]


def test_a_price_stays_with_its_product() -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["products"][1]["prices"].append(document["products"][0]["prices"].pop(0))
    assert immutable_price_changes(desired(document, current), current)[0].fields == ["product"]


def test_trial_and_listing_of_a_price_may_change() -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["products"][0]["prices"][0] |= {"trial_days": 14, "listed": False}
    assert immutable_price_changes(desired(document, current), current) == []
    assert plan(document, current).changes.prices.updated == ["solo_monthly"]


def test_kinds_and_seats_cannot_change_once_on_sale() -> None:
    current = applied(team_catalog())
    document = team_catalog()
    document["features"][0]["kind"] = "limit"
    document["products"][0]["kind"] = "add_on"
    team = document["products"][1]
    team |= {"seats": None, "features": team["features"][:2]}
    found = immutable_field_changes(desired(document, current), current)
    assert [problem.path for problem in found] == [
        "features[0].kind",
        "products[0].kind",
        "products[1].seats",
    ]


def test_products_and_paid_prices_get_a_stripe_counterpart() -> None:
    current = applied(team_catalog())
    steps = plan(team_catalog(), current, in_stripe=True)
    assert steps.changes == CatalogChanges(
        products=CodeChanges(updated=["solo", "team"]),
        prices=CodeChanges(updated=["solo_monthly", "team_yearly"]),
    )


IN_STRIPE = Ids(
    products={"solo": "prod_1", "team": "prod_2"},
    prices={"solo_monthly": "price_1", "team_yearly": "price_2"},
)


def test_the_same_document_with_known_counterparts_is_no_change() -> None:
    current = applied(team_catalog(), ids=IN_STRIPE)
    assert plan(team_catalog(), current, in_stripe=True).is_empty
    assert price_of(current, "solo_free").stripe_price_id is None
    found = current.price_by_stripe_id("price_2")
    assert found
    assert found.code == "team_yearly"


def test_naming_the_counterpart_that_is_known_changes_nothing() -> None:
    current = applied(team_catalog(), ids=IN_STRIPE)
    document = team_catalog()
    document["products"][0]["stripe_product_id"] = "prod_1"
    document["products"][0]["prices"][0]["stripe_price_id"] = "price_1"
    assert immutable_price_changes(desired(document, current), current) == []
    assert immutable_field_changes(desired(document, current), current) == []
    assert plan(document, current, in_stripe=True).is_empty


def test_a_counterpart_cannot_be_exchanged() -> None:
    current = applied(team_catalog(), ids=IN_STRIPE)
    document = team_catalog()
    document["products"][0]["stripe_product_id"] = "prod_9"
    document["products"][0]["prices"][0]["stripe_price_id"] = "price_9"
    assert immutable_price_changes(desired(document, current), current)[0].fields == ["stripe_price_id"]
    problems = immutable_field_changes(desired(document, current), current)
    assert [problem.path for problem in problems] == ["products[0].stripe_product_id"]


def test_a_counterpart_of_another_code_cannot_be_adopted() -> None:
    current = applied(team_catalog(), ids=IN_STRIPE)
    document = team_catalog()
    more = {"code": "more", "name": "More", "kind": "plan", "stripe_product_id": "prod_1"}
    document["products"].append(more)
    problems = immutable_field_changes(desired(document, current), current)
    assert [problem.path for problem in problems] == ["products[2].stripe_product_id"]


def test_a_plan_survives_being_kept_as_json() -> None:
    steps = plan(team_catalog(), CatalogView(), in_stripe=True)
    assert CatalogPlan.model_validate_json(steps.model_dump_json()) == steps
