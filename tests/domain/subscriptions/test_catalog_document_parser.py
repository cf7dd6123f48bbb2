"""Parsing of a catalog document, which reports all of its errors at once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.catalog.document_parser import PROBLEMS_MAX, read_document
from tallystick.messages.catalog import CatalogDocument
from tests.support.catalogs import example_catalog, team_catalog

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "features",
                    "products",
                    "prices",
                    "tiers",
                    "seats",
                    "code",
                    "kind",
                    "model",
                    "up_to",
                    "feature",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def problems(document: Any) -> dict[str, str]:
    found = read_document(document)
    assert isinstance(found, list), "the document was accepted"
    return {problem.path: problem.problem for problem in found}


def test_the_example_catalog_is_sound() -> None:
    document = read_document(example_catalog())
    assert isinstance(document, CatalogDocument)
    codes = [product.code for product in document.products]
    assert codes[:5] == ["starter", "essential", "professional", "business", "enterprise"]
    assert {"domain", "ssl_premium", "email_5", "email_10", "email_25"} < set(codes)
    strategies = {product.seats.strategy for product in document.products if product.seats}
    assert strategies == {"per_seat", "per_team"}


@pytest.mark.parametrize("document", [None, [], "catalog", 7, True])
def test_a_document_that_is_no_object_is_refused_at_its_root(document: object) -> None:
    assert list(problems(document)) == ["$"]


def test_a_document_without_products_is_rejected() -> None:
    assert problems({}) == {"products": "is missing"}


def test_an_empty_list_of_products_says_so_on_purpose() -> None:
    assert isinstance(read_document({"products": []}), CatalogDocument)


def test_all_problems_are_told_at_once() -> None:
    document = team_catalog()
    document["colour"] = "red"
    document["features"][0]["kind"] = "switch"
    document["products"][0]["features"][0]["feature"] = "transcriptoin"
    document["products"][0]["prices"][0]["unit_amount"] = 49.5
    document["products"][1]["seats"]["minimum"] = 2000
    document["products"][1]["prices"][0]["tiers"][0]["up_to"] = None
    assert set(problems(document)) == {
        "colour",
        "features[0].kind",
        "products[0].features[0].feature",
        "products[0].prices[0].unit_amount",
        "products[1].seats.maximum",
        "products[1].prices[0].tiers[0].up_to",
    }


def test_the_answer_to_many_mistakes_has_a_bounded_size() -> None:
    found = read_document({"products": [{"x" * 100_000: 1} for _ in range(900)]})
    assert isinstance(found, list)
    assert len(found) == PROBLEMS_MAX
    # Each product lacks code, name and kind and has one unknown field: 3,600 problems, 199 are reported.
    assert found[-1].problem == "and 3401 more problems"
    assert all(len(problem.path) < 100 for problem in found)


def change(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Sets a place such as `products.0.kind` in a document."""

    def apply(document: Any) -> None:
        *parents, last = path.split(".")
        for part in parents:
            document = document[int(part)] if part.isdigit() else document[part]
        document[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("features.0.name", "  ", "features[0].name"),
        ("features.1.unit_price", {"amount": 5, "currency": "eur"}, "features[1].unit_price"),
        ("features.2.unit_price", {"amount": 0, "currency": "eur"}, "features[2].unit_price.amount"),
        ("features.2.unit_price", {"amount": 5, "currency": "EUR"}, "features[2].unit_price.currency"),
        ("features.0.meter", "hours_used", "features[0].meter"),
        ("features.0.overage", {"unit_price": {"amount": 5, "currency": "eur"}}, "features[0].overage"),
        (
            "features.2.overage",
            {"unit_price": {"amount": 0, "currency": "eur"}},
            "features[2].overage.unit_price.amount",
        ),
        (
            "features.2.overage",
            {"unit_price": {"amount": 5, "currency": "eur"}, "cap": {"amount": 4, "currency": "eur"}},
            "features[2].overage.cap.amount",
        ),
        (
            "features.2.overage",
            {"unit_price": {"amount": 5, "currency": "eur"}, "cap": {"amount": 9, "currency": "usd"}},
            "features[2].overage.cap.currency",
        ),
        ("features.2.meter", "hours used", "features[2].meter"),
        ("products.0.code", "team", "products[1].code"),
        ("products.0.kind", "bundle", "products[0].kind"),
        ("products.1.kind", "add_on", "products[1].seats"),
        ("products.0.required_details", ["domain"], "products[0].required_details"),
        ("products.0.stripe_product_id", "prod/1", "products[0].stripe_product_id"),
        ("products.0.features.0.quantity", 3, "products[0].features[0].quantity"),
        ("products.0.features.0.every", "month", "products[0].features[0].every"),
        ("products.0.features.0.rollover", 3, "products[0].features[0].rollover"),
        ("products.0.features.0.team_allowed", True, "products[0].features[0].team_allowed"),
        ("products.0.features.1.every", "fortnight", "products[0].features[1].every"),
        ("products.0.features.1.quantity", -1, "products[0].features[1].quantity"),
        ("products.0.features.1.quantity", 2.5, "products[0].features[1].quantity"),
        ("products.1.features.1.quantity", None, "products[1].features[1].rollover"),
        ("products.1.features.1.every", None, "products[1].features[1].rollover"),
        ("products.1.features.2.team_allowed", True, "products[1].features[2].feature"),
        ("products.1.seats.strategy", "per_user", "products[1].seats.strategy"),
        ("products.1.seats.minimum", 0, "products[1].seats.minimum"),
        ("products.1.seats.owner", "free", "products[1].seats.owner"),
        ("products.0.prices.0.currency", None, "products[0].prices[0].currency"),
        ("products.0.prices.0.interval", None, "products[0].prices[0].interval"),
        ("products.0.prices.0.interval", "week_end", "products[0].prices[0].interval"),
        ("products.0.prices.0.unit_amount", None, "products[0].prices[0].unit_amount"),
        ("products.0.prices.0.base_amount", 5, "products[0].prices[0].base_amount"),
        ("products.0.prices.0.tiers", [{"up_to": None, "unit_amount": 1}], "products[0].prices[0].tiers"),
        ("products.0.prices.0.trial_days", 731, "products[0].prices[0].trial_days"),
        ("products.0.prices.1.unit_amount", 5, "products[0].prices[1].unit_amount"),
        ("products.0.prices.1.trial_days", 5, "products[0].prices[1].trial_days"),
        ("products.0.prices.1.stripe_price_id", "price_1", "products[0].prices[1].stripe_price_id"),
        ("products.0.prices.1.code", "team_yearly", "products[1].prices[0].code"),
        ("products.1.prices.0.unit_amount", 5, "products[1].prices[0].unit_amount"),
        ("products.1.prices.0.model", "per_user", "products[1].prices[0].model"),
    ],
)
def test_one_mistake_is_found_where_it_is(path: str, value: object, where: str) -> None:
    document = team_catalog()
    change(path, value)(document)
    assert list(problems(document)) == [where]


@pytest.mark.parametrize("code", ["members", "Members", "", "a" * 65, "a.b", "a*", "../a", "_a", "a\n", 7])
def test_a_code_is_new_and_fits_into_a_subject(code: object) -> None:
    document = team_catalog()
    document["features"].append({"code": code, "name": "Another", "kind": "flag"})
    assert list(problems(document)) == ["features[3].code"]


def test_two_products_cannot_share_a_counterpart_in_stripe() -> None:
    document = team_catalog()
    for product in document["products"]:
        product["stripe_product_id"] = "prod_1"
    assert problems(document) == {
        "products[1].stripe_product_id": "`prod_1` is already at products[0].stripe_product_id"
    }


def test_an_add_on_asks_for_each_detail_once() -> None:
    document = team_catalog()
    document["products"][0] |= {"kind": "add_on", "required_details": ["domain_name", "domain_name"]}
    assert list(problems(document)) == ["products[0].required_details[1]"]


def test_zero_and_nothing_are_allowed_where_they_say_nothing() -> None:
    document = team_catalog()
    document["products"][0]["prices"][0] |= {"base_amount": 0, "tiers": []}
    document["products"][0]["prices"][1] |= {"unit_amount": 0, "base_amount": 0, "trial_days": 0}
    assert isinstance(read_document(document), CatalogDocument)


@given(JSON)
def test_any_json_is_read_or_refused_and_never_breaks_the_reader(document: Any) -> None:
    found = read_document(document)
    assert isinstance(found, CatalogDocument) or found


def _with_rhythm(**fields: Any) -> dict[str, Any]:
    price = {"code": "p", "model": "flat", "currency": "eur", "unit_amount": 100, **fields}
    return {"products": [{"code": "x", "name": "X", "kind": "plan", "prices": [price]}]}


@pytest.mark.parametrize(
    ("interval", "count"),
    [("day", 1095), ("week", 156), ("week", 2), ("month", 36), ("month", 6), ("year", 3), ("year", 2)],
)
def test_a_billing_period_may_last_three_years(interval: str, count: int) -> None:
    document = read_document(_with_rhythm(interval=interval, interval_count=count))
    assert isinstance(document, CatalogDocument)
    assert document.products[0].prices[0].interval_count == count


@pytest.mark.parametrize(
    ("interval", "count", "most"),
    [("week", 157, "156 times a week"), ("month", 37, "36 times a month"), ("year", 4, "3 times a year")],
)
def test_a_longer_billing_period_is_refused(interval: str, count: int, most: str) -> None:
    found = problems(_with_rhythm(interval=interval, interval_count=count))
    assert list(found) == ["products[0].prices[0].interval_count"]
    assert most in found["products[0].prices[0].interval_count"]


@pytest.mark.parametrize("count", [0, -3, 1096, 1.5, "3", True])
def test_a_count_of_intervals_is_a_small_whole_number(count: object) -> None:
    assert "products[0].prices[0].interval_count" in problems(
        _with_rhythm(interval="day", interval_count=count)
    )


def test_a_count_needs_an_interval_to_count() -> None:
    free = {"code": "f", "model": "free", "interval_count": 3}
    document = {"products": [{"code": "x", "name": "X", "kind": "plan", "prices": [free]}]}
    assert list(problems(document)) == ["products[0].prices[0].interval_count"]
