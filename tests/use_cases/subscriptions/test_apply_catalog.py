"""`apply_catalog` and `get_catalog` on a real database, without payments."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.subscriptions import app as _app  # noqa: F401 - registers the handlers
from services.subscriptions.repository.catalog import load_product_version
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog as m
from tallystick.messages.base import Outcome
from tests.support.catalogs import example_catalog, team_catalog, tiered_catalog
from tests.support.runtime import NOON, Bound

NO_CHANGES: dict[str, Any] = {
    "tax_rates": {"created": [], "updated": [], "archived": []},
    "products": {"created": [], "updated": [], "archived": []},
    "prices": {"created": [], "updated": [], "archived": []},
    "features": {"created": [], "updated": [], "archived": []},
}


@pytest.fixture
def bound(bind: Callable[..., Bound]) -> Bound:
    return bind(service, StripeGateway(None))


async def apply(bound: Bound, catalog: Any, command_id: str = "apply-1") -> Outcome:
    return await bound.handle(m.ApplyCatalog(command_id=command_id, catalog=catalog))


async def changes(bound: Bound, catalog: Any, command_id: str) -> Any:
    outcome = await apply(bound, catalog, command_id)
    assert outcome.status == "succeeded", outcome.error
    assert outcome.result
    return outcome.result["changes"]


async def catalog_now(bound: Bound, *, include_archived: bool = False) -> m.Catalog:
    outcome = await bound.handle(m.GetCatalog(include_archived=include_archived))
    assert outcome.result
    return m.CatalogFound.model_validate(outcome.result, strict=False).catalog


def problems_of(outcome: Outcome) -> dict[str, str]:
    """Return the problems of a rejected document by their paths, in order."""
    assert outcome.error
    assert isinstance(outcome.error.details, list)
    problems = [m.CatalogProblem.model_validate(problem) for problem in outcome.error.details]
    return {problem.path: problem.problem for problem in problems}


async def test_a_document_becomes_the_catalog_and_each_thing_is_told(bound: Bound) -> None:
    assert await changes(bound, team_catalog(), "apply-1") == NO_CHANGES | {
        "products": {"created": ["solo", "team"], "updated": [], "archived": []},
        "prices": {"created": ["solo_monthly", "solo_free", "team_yearly"], "updated": [], "archived": []},
        "features": {"created": ["transcription", "members", "hours"], "updated": [], "archived": []},
    }
    feed = await bound.feed()
    subjects = [subject for subject, _ in feed]
    assert subjects == [
        *["billing.change_feed.feature.platform_catalog.createdV1"] * 3,
        *["billing.change_feed.product.platform_catalog.createdV1"] * 2,
        *["billing.change_feed.price.platform_catalog.createdV1"] * 3,
    ]
    body = feed[4][1]
    assert (body["customer"], body["caused_by"], body["version"]) == (None, "apply-1", 1)
    assert body["product"]["code"] == "team"
    assert body["product"]["seats"] == {
        "strategy": "per_seat",
        "owner_seat": "free",
        "minimum": 1,
        "maximum": 1000,
    }
    assert [grant["team_allowed"] for grant in body["product"]["features"]] == [True, True, False]


async def test_the_catalog_is_shown_in_the_order_of_its_document(bound: Bound) -> None:
    await changes(bound, example_catalog(), "apply-1")
    catalog = await catalog_now(bound)
    assert catalog.revision == 1
    products = [product.code for product in catalog.products]
    assert products == [
        "starter", "essential", "professional", "business", "enterprise", "team", "studio", "self_hosted",
        "domain", "ssl_premium", "email_5", "email_10", "email_25",
    ]  # fmt: skip
    essential = catalog.products[1]
    assert [(price.code, price.unit_amount) for price in essential.prices] == [
        ("essential_monthly", 4900),
        ("essential_yearly", 49000),
    ]
    reordered = example_catalog()
    reordered["products"].reverse()
    assert await changes(bound, reordered, "apply-2") == NO_CHANGES
    assert [product.code for product in (await catalog_now(bound)).products] == products[::-1]


async def test_the_same_document_under_a_new_id_is_no_change(bound: Bound) -> None:
    await changes(bound, example_catalog(), "apply-1")
    told = len(await bound.feed())
    assert await changes(bound, example_catalog(), "apply-2") == NO_CHANGES
    assert len(await bound.feed()) == told
    assert (await catalog_now(bound)).revision == 1


async def test_the_same_command_again_gets_the_same_outcome(bound: Bound) -> None:
    first = await apply(bound, team_catalog())
    assert await apply(bound, team_catalog()) == first
    other = await apply(bound, tiered_catalog({"up_to": None, "unit_amount": 1}))
    assert other.error
    assert other.error.code == "idempotency_conflict"


async def test_an_edit_emits_the_next_version_and_keeps_the_old(bound: Bound) -> None:
    await changes(bound, team_catalog(), "apply-1")
    document = team_catalog()
    document["products"][1]["features"][1]["quantity"] = 20
    assert await changes(bound, document, "apply-2") == NO_CHANGES | {
        "products": {"created": [], "updated": ["team"], "archived": []}
    }
    subject, body = (await bound.feed())[-1]
    assert subject == "billing.change_feed.product.platform_catalog.updatedV1"
    assert body["version"] == body["product"]["version"] == 2
    assert body["product"]["features"][1]["quantity"] == 20
    async with bound.runtime.dispatcher.transactions.begin(caused_by="test", now=NOON) as work:
        before = await load_product_version(work.session, "team", 1)
    assert before
    assert before.features[1].quantity == 10


async def test_removed_entries_are_archived_and_can_come_back(bound: Bound) -> None:
    await changes(bound, team_catalog(), "apply-1")
    document = team_catalog()
    del document["products"][1]
    assert await changes(bound, document, "apply-2") == NO_CHANGES | {
        "products": {"created": [], "updated": [], "archived": ["team"]},
        "prices": {"created": [], "updated": [], "archived": ["team_yearly"]},
    }
    assert [product.code for product in (await catalog_now(bound)).products] == ["solo"]
    everything = await catalog_now(bound, include_archived=True)
    assert [(product.code, product.archived) for product in everything.products] == [
        ("solo", False),
        ("team", True),
    ]
    await changes(bound, team_catalog(), "apply-3")
    team = (await catalog_now(bound)).products[1]
    assert (team.archived, team.version, team.prices[0].version) == (False, 3, 3)
    events = [subject.rsplit(".", 1)[1] for subject, body in await bound.feed() if "product" in body]
    assert events == ["createdV1", "createdV1", "archivedV1", "updatedV1"]


async def test_a_bad_document_is_refused_whole_with_every_problem(bound: Bound) -> None:
    document = team_catalog()
    document["features"].append({"code": "extra", "name": "Extra", "kind": "flag"})
    document["products"][1]["prices"][0]["tiers"] = [
        {"up_to": 5, "unit_amount": 10.5},
        {"up_to": 5, "unit_amount": 800},
        {"up_to": 50, "unit_amount": 600},
    ]
    outcome = await apply(bound, document)
    assert outcome.status == "rejected"
    assert outcome.error
    assert outcome.error.code == "invalid_catalog"
    tiers = "products[1].prices[0].tiers"
    found = problems_of(outcome)
    assert list(found) == [f"{tiers}[0].unit_amount", f"{tiers}[1].up_to", f"{tiers}[2].up_to"]
    assert [problem[:7] for problem in found.values()] == ["tier 1:", "tier 2 ", "tier 3 "]
    assert (await catalog_now(bound, include_archived=True)).features == []
    assert await bound.feed() == []


@pytest.mark.parametrize("catalog", [None, [], 7, "catalog", {}, {"products": {}}])
async def test_a_catalog_of_the_wrong_form_is_an_invalid_catalog(bound: Bound, catalog: Any) -> None:
    outcome = await apply(bound, catalog)
    assert outcome.error
    assert outcome.error.code == "invalid_catalog"


@pytest.mark.parametrize(
    "value", ['"\\u0000"', '{"products": ["a\\u0000"]}', '{"\\u0000": 1}', "NaN", "1e999"]
)
async def test_what_postgres_cannot_keep_is_an_invalid_message(bound: Bound, value: str) -> None:
    body = '{"command_id": "apply-1", "catalog": ' + value + "}"
    outcome = await bound.handle_body("apply_catalog", body.encode())
    assert outcome.error
    assert outcome.error.code == "invalid_message"


async def test_without_a_catalog_the_message_is_invalid(bound: Bound) -> None:
    outcome = await bound.handle_body("apply_catalog", b'{"command_id": "apply-1"}')
    assert outcome.error
    assert outcome.error.code == "invalid_message"


async def test_a_price_with_other_money_needs_another_code(bound: Bound) -> None:
    await changes(bound, team_catalog(), "apply-1")
    document = team_catalog()
    document["products"][0]["name"] = "Alone"
    document["products"][0]["prices"][0] |= {"unit_amount": 5900, "currency": "usd"}
    outcome = await apply(bound, document, "apply-2")
    assert outcome.error
    assert outcome.error.code == "price_immutable"
    assert outcome.error.details == [
        {"path": "products[0].prices[0]", "price": "solo_monthly", "fields": ["currency", "unit_amount"]}
    ]
    assert (await catalog_now(bound)).products[0].name == "Solo"


async def test_a_kind_cannot_change(bound: Bound) -> None:
    await changes(bound, team_catalog(), "apply-1")
    document = team_catalog()
    document["features"][0]["kind"] = "limit"
    outcome = await apply(bound, document, "apply-2")
    assert outcome.error
    assert outcome.error.code == "invalid_catalog"
    assert list(problems_of(outcome)) == ["features[0].kind"]


async def test_stripe_ids_are_held_back_until_payments_are_configured(bound: Bound) -> None:
    document = team_catalog()
    document["products"][0]["stripe_product_id"] = "prod_1"
    await changes(bound, document, "apply-1")
    assert (await catalog_now(bound)).products[0].stripe_product_id is None


async def test_concurrent_documents_are_applied_in_turn(bound: Bound) -> None:
    documents = []
    for number in range(6):
        document = team_catalog()
        document["products"][0]["name"] = f"Solo {number}"
        documents.append(document)

    async def until_decided(number: int) -> Outcome:
        while True:
            outcome = await apply(bound, documents[number], f"apply-{number}")
            if outcome.status != "failed":
                return outcome

    outcomes = await asyncio.gather(*(until_decided(number) for number in range(6)))
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    versions = [
        body["version"] for _, body in await bound.feed() if body.get("product", {}).get("code") == "solo"
    ]
    assert versions == [1, 2, 3, 4, 5, 6]
    assert (await catalog_now(bound)).revision == 6
