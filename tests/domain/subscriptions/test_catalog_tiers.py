"""Tiers cover every quantity exactly once, or the document is rejected with the path of the tier."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.catalog.document_parser import read_document
from tallystick.messages.catalog import CatalogDocument, CatalogProblem
from tests.support.catalogs import tiered_catalog

PRICE = "products[0].prices[0]"


def problems(document: Any) -> dict[str, str]:
    found = read_document(document)
    assert isinstance(found, list), "the document was accepted"
    assert all(isinstance(problem, CatalogProblem) for problem in found)
    return {problem.path: problem.problem for problem in found}


def only_problem(document: Any, path: str) -> str:
    found = problems(document)
    assert list(found) == [path], found
    return found[path]


def test_contiguous_tiers_with_an_unbounded_last_are_accepted() -> None:
    document = tiered_catalog(
        {"up_to": 10, "unit_amount": 1000},
        {"up_to": 50, "unit_amount": 800, "flat_amount": 200},
        {"up_to": None, "flat_amount": 0},
        base_amount=500,
    )
    assert isinstance(read_document(document), CatalogDocument)


def test_one_unbounded_tier_is_enough() -> None:
    assert isinstance(read_document(tiered_catalog({"up_to": None, "unit_amount": 1})), CatalogDocument)


def test_an_unbounded_tier_before_the_last_is_named() -> None:
    document = tiered_catalog({"up_to": None, "unit_amount": 1000}, {"up_to": None, "unit_amount": 800})
    assert only_problem(document, f"{PRICE}.tiers[0].up_to").startswith("tier 1 is unbounded")


def test_a_last_tier_with_an_end_leaves_a_gap_above_it() -> None:
    document = tiered_catalog({"up_to": 5, "unit_amount": 1000}, {"up_to": 50, "unit_amount": 800})
    problem = only_problem(document, f"{PRICE}.tiers[1].up_to")
    assert "tier 2" in problem
    assert "gap" in problem


@pytest.mark.parametrize("second", [10, 9, 1])
def test_a_tier_that_ends_within_an_earlier_one_overlaps_it(second: int) -> None:
    document = tiered_catalog(
        {"up_to": 10, "unit_amount": 1000},
        {"up_to": second, "unit_amount": 900},
        {"up_to": None, "unit_amount": 800},
    )
    problem = only_problem(document, f"{PRICE}.tiers[1].up_to")
    assert "tier 2" in problem
    assert "tier 1" in problem
    assert "overlap" in problem


def test_an_overlap_is_measured_against_the_furthest_tier_before() -> None:
    document = tiered_catalog(
        {"up_to": 10, "unit_amount": 1000},
        {"up_to": 4, "unit_amount": 900},
        {"up_to": 7, "unit_amount": 850},
        {"up_to": None, "unit_amount": 800},
    )
    found = problems(document)
    assert list(found) == [f"{PRICE}.tiers[1].up_to", f"{PRICE}.tiers[2].up_to"]
    assert "inside tier 1" in found[f"{PRICE}.tiers[2].up_to"]


@pytest.mark.parametrize("amount", [10.5, 1000.0, "1000", True])
def test_an_amount_that_is_not_a_whole_number_names_its_tier(amount: object) -> None:
    document = tiered_catalog({"up_to": 5, "unit_amount": 100}, {"up_to": None, "unit_amount": amount})
    found = problems(document)
    assert "tier 2: must be a whole number" in found[f"{PRICE}.tiers[1].unit_amount"]


@pytest.mark.parametrize("amount", [-1, 10**12, 2**70])
def test_an_amount_out_of_range_names_its_tier(amount: int) -> None:
    document = tiered_catalog({"up_to": None, "unit_amount": 1, "flat_amount": amount})
    assert only_problem(document, f"{PRICE}.tiers[0].flat_amount").startswith("tier 1: must be")


def test_a_fractional_amount_does_not_hide_an_overlap() -> None:
    document = tiered_catalog(
        {"up_to": 5, "unit_amount": 10.5},
        {"up_to": 5, "unit_amount": 900},
        {"up_to": None, "unit_amount": 800},
    )
    assert list(problems(document)) == [f"{PRICE}.tiers[0].unit_amount", f"{PRICE}.tiers[1].up_to"]


def test_a_tier_cannot_say_where_it_begins() -> None:
    document = tiered_catalog({"up_to": 5, "unit_amount": 2}, {"from": 7, "up_to": None, "unit_amount": 1})
    assert "begins where the one before it ends" in only_problem(document, f"{PRICE}.tiers[1].from")


def test_a_tier_without_any_amount_is_named() -> None:
    document = tiered_catalog({"up_to": 5}, {"up_to": None, "unit_amount": 1})
    assert "tier 1 has no price" in only_problem(document, f"{PRICE}.tiers[0].unit_amount")


def test_a_base_amount_must_fit_together_with_each_flat_amount() -> None:
    tier = {"up_to": None, "flat_amount": 999_999_999_999}
    assert isinstance(read_document(tiered_catalog(tier)), CatalogDocument)
    document = tiered_catalog(tier, base_amount=1)
    assert "tier 1" in only_problem(document, f"{PRICE}.tiers[0].flat_amount")


@pytest.mark.parametrize("model", ["volume", "graduated"])
def test_tiered_prices_need_tiers(model: str) -> None:
    assert "at least one" in only_problem(tiered_catalog(model=model), f"{PRICE}.tiers")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_bounds_are_accepted_exactly_when_they_rise(bounds: list[int]) -> None:
    tiers: list[dict[str, Any]] = [{"up_to": bound, "unit_amount": 1} for bound in bounds]
    accepted = isinstance(
        read_document(tiered_catalog(*tiers, {"up_to": None, "unit_amount": 1})), CatalogDocument
    )
    assert accepted == (bounds == sorted(set(bounds)))
