"""Tax rates in a catalog document: which rates apply to a price, and what is refused."""

from typing import Any

import pytest

from services.subscriptions.catalog.document_parser import read_document
from services.subscriptions.catalog.stripe_tax_rates import rate_differences, update_parameters
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog.diff import DesiredCatalog, desired_catalog, plan_changes
from services.subscriptions.domain.catalog.immutability import (
    immutable_field_changes,
    immutable_price_changes,
)
from tallystick.messages.catalog import CatalogDocument

ADDED = {"code": "vat", "display_name": "VAT", "percentage": 19, "country": "DE", "tax_type": "vat"}
INCLUDED = {"code": "vat_in", "display_name": "VAT", "percentage": 19, "inclusive": True}
DEFAULT = {**ADDED, "default": True}
HOURS = {
    "code": "hours",
    "name": "Hours",
    "kind": "consumable",
    "unit_price": {"amount": 15, "currency": "eur"},
}


def document(*rates: dict[str, Any], price: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    sold = {"code": "solo", "model": "flat", "currency": "eur", "interval": "month", "unit_amount": 100}
    product = {"code": "solo", "name": "Solo", "kind": "plan", "prices": [{**sold, **(price or {})}]}
    return {"tax_rates": list(rates), "products": [product], **fields}


def problems(*rates: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    found = read_document(document(*rates, **fields))
    return [(each.path, each.problem) for each in found] if isinstance(found, list) else []


def desired(*rates: dict[str, Any], **fields: Any) -> DesiredCatalog:
    found = read_document(document(*rates, **fields))
    assert isinstance(found, CatalogDocument), found
    return desired_catalog(found, CatalogView(), lambda prefix: f"{prefix}_1")


def catalog(wanted: DesiredCatalog) -> CatalogView:
    return CatalogView(
        prices={each.entity.code: each.entity for each in wanted.prices},
        tax_rates={each.entity.code: each.entity for each in wanted.tax_rates},
    )


@pytest.mark.parametrize(
    ("rates", "named", "applied"),
    [
        ([DEFAULT], None, ["vat"]),
        ([ADDED], None, []),
        ([DEFAULT], [], []),
        ([DEFAULT, {**ADDED, "code": "city"}], ["city"], ["city"]),
    ],
)
def test_a_price_that_names_no_rates_has_the_default_ones(
    rates: list[dict[str, Any]], named: list[str] | None, applied: list[str]
) -> None:
    found = desired(*rates, price={} if named is None else {"tax_rates": named})
    assert found.prices[0].entity.tax_rates == applied


def test_recharges_have_rates_and_other_features_have_none() -> None:
    flag = {"code": "api", "name": "API", "kind": "flag"}
    owed = {"code": "calls", "name": "Calls", "kind": "consumable"} | {
        "overage": {"unit_price": {"amount": 1, "currency": "eur"}}
    }
    found = desired(DEFAULT, features=[HOURS, flag, owed])
    assert [each.entity.tax_rates for each in found.features] == [["vat"], [], ["vat"]]


@pytest.mark.parametrize(
    ("rates", "fields", "path"),
    [
        ([ADDED], {"price": {"tax_rates": ["gst"]}}, "products[0].prices[0].tax_rates[0]"),
        ([ADDED], {"price": {"tax_rates": ["vat", "vat"]}}, "products[0].prices[0].tax_rates[1]"),
        ([ADDED, INCLUDED], {"price": {"tax_rates": ["vat", "vat_in"]}}, "products[0].prices[0].tax_rates"),
        ([ADDED], {"price": {"tax_rates": ["vat"], "tax_behavior": "inclusive"}},
         "products[0].prices[0].tax_behavior"),
        ([DEFAULT], {"price": {"tax_behavior": "inclusive"}}, "products[0].prices[0].tax_behavior"),
        ([DEFAULT, {**INCLUDED, "default": True}], {"price": {"tax_rates": []}}, "tax_rates[1].default"),
        ([ADDED, ADDED], {}, "tax_rates[1].code"),
        ([{**ADDED, "percentage": 100.5}], {}, "tax_rates[0].percentage"),
        ([{**ADDED, "percentage": 8.87512}], {}, "tax_rates[0].percentage"),
        ([{**ADDED, "country": "Germany"}], {}, "tax_rates[0].country"),
        ([ADDED], {"features": [{"code": "api", "name": "API", "kind": "flag", "tax_rates": ["vat"]}]},
         "features[0].tax_rates"),
        ([ADDED], {"features": [HOURS | {"tax_rates": ["gst"]}]}, "features[0].tax_rates[0]"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(
    rates: list[dict[str, Any]], fields: dict[str, Any], path: str
) -> None:
    assert path in [found for found, _ in problems(*rates, **fields)]


def test_a_free_price_is_not_taxed() -> None:
    free = {"model": "free", "unit_amount": 0, "tax_rates": ["vat"], "tax_behavior": "exclusive"}
    assert {path.rpartition(".")[2] for path, _ in problems(ADDED, price=free)} == {
        "tax_rates",
        "tax_behavior",
    }
    assert desired(DEFAULT, price={"model": "free", "unit_amount": 0}).prices[0].entity.tax_rates == []


def test_the_percentage_of_a_rate_never_changes_and_its_name_may() -> None:
    before = desired(ADDED)
    for change in ({"percentage": 16}, {"inclusive": True}):
        [problem] = immutable_field_changes(desired({**ADDED, **change}), catalog(before))
        assert (problem.path, "new code" in problem.problem) == (f"tax_rates[0].{next(iter(change))}", True)
    assert immutable_field_changes(desired({**ADDED, "display_name": "MwSt."}), catalog(before)) == []


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({}, {"tax_behavior": "exclusive"}, []),
        ({"tax_behavior": "exclusive"}, {"tax_behavior": "inclusive"}, [["tax_behavior"]]),
        ({"tax_behavior": "exclusive"}, {}, [["tax_behavior"]]),
    ],
)
def test_a_price_is_given_its_behaviour_once(
    before: dict[str, Any], after: dict[str, Any], fields: list[list[str]]
) -> None:
    found = immutable_price_changes(desired(price=after), catalog(desired(price=before)))
    assert [each.fields for each in found] == fields


def test_a_rate_that_is_left_out_is_archived_and_its_prices_change() -> None:
    before = desired(DEFAULT)
    plan = plan_changes(desired(), catalog(before), in_stripe=True)
    assert (plan.changes.tax_rates.archived, plan.changes.prices.updated) == (["vat"], ["solo"])
    assert plan.tax_rates[0].after.archived


def test_a_rate_in_stripe_is_compared_by_what_it_takes() -> None:
    rate = desired({**ADDED, "percentage": 8.875}).tax_rates[0].entity
    assert rate.percentage == "8.875"
    assert rate_differences(rate, {"percentage": 8.875, "inclusive": False}) == []
    assert rate_differences(rate, {"percentage": 19, "inclusive": True}) == ["percentage", "inclusive"]
    assert update_parameters(rate)["description"] == ""
