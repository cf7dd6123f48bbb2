"""`apply_catalog` with payments: the real SDK against the stand-in, over HTTP."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import stripe

from services.subscriptions import app as _app  # noqa: F401 - registers the handlers
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog as m
from tallystick.messages.base import Outcome
from tests.support.catalogs import example_catalog, team_catalog, tiered_catalog
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def gateway(stand_in: StripeStandIn) -> AsyncIterator[StripeGateway]:
    opened = StripeGateway(SECRET_KEY, stand_in.url)
    yield opened
    await opened.close()


@pytest.fixture
def bound(bind: Callable[..., Bound], gateway: StripeGateway) -> Bound:
    return bind(service, gateway)


async def apply(bound: Bound, catalog: Any, command_id: str = "apply-1") -> Outcome:
    return await bound.handle(m.ApplyCatalog(command_id=command_id, catalog=catalog))


async def applied(bound: Bound, catalog: Any, command_id: str = "apply-1") -> m.CatalogChanges:
    outcome = await apply(bound, catalog, command_id)
    assert outcome.status == "succeeded", outcome.error
    assert outcome.result
    return m.CatalogChanges.model_validate(outcome.result["changes"])


async def refused(bound: Bound, catalog: Any, command_id: str = "apply-1") -> list[str]:
    """Return the paths of the problems of a rejected document."""
    outcome = await apply(bound, catalog, command_id)
    assert outcome.error, outcome
    assert outcome.error.code == "invalid_catalog"
    assert isinstance(outcome.error.details, list)
    return [str(problem["path"]) for problem in outcome.error.details if isinstance(problem, dict)]


async def prices_now(bound: Bound) -> dict[str, m.Price]:
    outcome = await bound.handle(m.GetCatalog(include_archived=True))
    assert outcome.result
    catalog = m.CatalogFound.model_validate(outcome.result).catalog
    return {price.code: price for product in catalog.products for price in product.prices}


async def products_now(bound: Bound) -> dict[str, m.ProductWithPrices]:
    outcome = await bound.handle(m.GetCatalog(include_archived=True))
    assert outcome.result
    return {
        product.code: product for product in m.CatalogFound.model_validate(outcome.result).catalog.products
    }


async def in_stripe(gateway: StripeGateway, price: m.Price) -> stripe.Price:
    assert price.stripe_price_id
    return await gateway.api.prices.retrieve_async(price.stripe_price_id, {"expand": ["tiers"]})


def counted(stand_in: StripeStandIn) -> tuple[int, int]:
    """Return the number of products and prices in Stripe."""
    return len(stand_in.account.all("product")), len(stand_in.account.all("price"))


async def test_the_example_catalog_is_created_in_stripe(
    bound: Bound, gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    await applied(bound, example_catalog())
    prices = await prices_now(bound)
    free = {code for code, price in prices.items() if price.stripe_price_id is None}
    assert free == {"starter_free", "enterprise_custom"}
    # 13 products; 18 prices of which two are free.
    assert counted(stand_in) == (13, 16)
    monthly = await in_stripe(gateway, prices["essential_monthly"])
    assert (monthly.unit_amount, monthly.currency, monthly.billing_scheme) == (4900, "eur", "per_unit")
    assert monthly.lookup_key == monthly.metadata["tallystick_price"] == "essential_monthly"
    assert monthly.recurring
    assert (monthly.recurring.interval, monthly.recurring.usage_type) == ("month", "licensed")
    assert monthly.product == (await products_now(bound))["essential"].stripe_product_id


async def test_tiers_and_a_base_amount_are_said_in_stripes_terms(
    bound: Bound, gateway: StripeGateway
) -> None:
    await applied(bound, example_catalog())
    prices = await prices_now(bound)
    yearly = await in_stripe(gateway, prices["studio_yearly"])
    assert (yearly.billing_scheme, yearly.tiers_mode) == ("tiered", "graduated")
    assert [(tier.up_to, tier.unit_amount, tier.flat_amount or 0) for tier in yearly.tiers or []] == [
        (10, 9000, 12000),
        (None, 7000, 0),
    ]
    monthly = await in_stripe(gateway, prices["studio_monthly"])
    assert monthly.tiers_mode == "volume"
    assert [(tier.up_to, tier.unit_amount) for tier in monthly.tiers or []] == [
        (10, 1000),
        (50, 800),
        (None, 600),
    ]


async def test_the_same_document_again_does_not_even_ask_stripe(
    bound: Bound, stand_in: StripeStandIn
) -> None:
    await applied(bound, example_catalog())
    stand_in.goes_away_after(0)
    assert await applied(bound, example_catalog(), "apply-2") == m.CatalogChanges()


async def test_enabling_payments_creates_missing_stripe_objects(
    bind: Callable[..., Bound], gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    await applied(bind(service, StripeGateway(None)), team_catalog())
    bound = bind(service, gateway)
    changes = await applied(bound, team_catalog(), "apply-2")
    assert changes.products.updated == ["solo", "team"]
    assert changes.prices.updated == ["solo_monthly", "team_yearly"]
    assert counted(stand_in) == (2, 2)


async def test_archived_things_are_switched_off_and_on_again(bound: Bound, gateway: StripeGateway) -> None:
    await applied(bound, team_catalog())
    without_team = team_catalog()
    del without_team["products"][1]
    await applied(bound, without_team, "apply-2")
    price = (await prices_now(bound))["team_yearly"]
    assert not (await in_stripe(gateway, price)).active
    product = str((await products_now(bound))["team"].stripe_product_id)
    assert not (await gateway.api.products.retrieve_async(product)).active
    await applied(bound, team_catalog(), "apply-3")
    again = (await prices_now(bound))["team_yearly"]
    assert again.stripe_price_id == price.stripe_price_id
    assert (await in_stripe(gateway, again)).active
    assert (await gateway.api.products.retrieve_async(product)).active


async def test_a_new_name_reaches_stripe(bound: Bound, gateway: StripeGateway) -> None:
    await applied(bound, team_catalog())
    document = team_catalog()
    document["products"][0] |= {"name": "Alone", "description": "For one"}
    await applied(bound, document, "apply-2")
    product = str((await products_now(bound))["solo"].stripe_product_id)
    found = await gateway.api.products.retrieve_async(product)
    assert (found.name, found.description) == ("Alone", "For one")


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
async def test_an_interrupted_sync_resumes_without_duplicates(
    bound: Bound, stand_in: StripeStandIn, writes: int
) -> None:
    stand_in.goes_away_after(writes)
    first = await apply(bound, team_catalog())
    assert first.status == "failed"
    assert await bound.feed() == []
    stand_in.comes_back()
    changes = await applied(bound, team_catalog())
    assert changes.products.created == ["solo", "team"]
    # Two products and two prices that cost something, each made exactly once.
    assert counted(stand_in) == (2, 2)


async def test_another_document_waits_for_the_unfinished_one(bound: Bound, stand_in: StripeStandIn) -> None:
    stand_in.goes_away_after(1)
    assert (await apply(bound, team_catalog())).status == "failed"
    stand_in.comes_back()
    other = team_catalog()
    other["products"][0]["name"] = "Alone"
    waiting = await apply(bound, other, "apply-2")
    assert waiting.status == "failed"
    await applied(bound, team_catalog())
    assert (await applied(bound, other, "apply-2")).products.updated == ["solo"]
    assert counted(stand_in) == (2, 2)


async def test_a_stripe_rejection_names_the_price_and_sells_nothing(
    bound: Bound, gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    bare = team_catalog()
    bare["products"] = [{**bare["products"][0], "prices": []}]
    await applied(bound, bare)
    gone = str((await products_now(bound))["solo"].stripe_product_id)
    await gateway.api.products.delete_async(gone)
    told = len(await bound.feed())

    assert await refused(bound, team_catalog(), "apply-2") == ["products[0].prices[0]"]
    made = [*stand_in.account.all("product"), *stand_in.account.all("price")]
    assert [thing.get("lookup_key") or thing["name"] for thing in made if not thing["active"]] == [
        "Team",
        "team_yearly",
    ]
    assert not any(thing["active"] for thing in made)
    assert len(await bound.feed()) == told
    assert set(await prices_now(bound)) == set()

    # A document without what Stripe has lost is applied as if nothing had happened.
    without_solo = team_catalog()
    del without_solo["products"][0]
    changes = await applied(bound, without_solo, "apply-3")
    assert (changes.products.created, changes.products.archived) == (["team"], ["solo"])
    on_sale = [price for price in stand_in.account.all("price") if price["active"]]
    assert [price["lookup_key"] for price in on_sale] == ["team_yearly"]


async def adopted(gateway: StripeGateway, **price: Any) -> dict[str, Any]:
    """The team catalog naming a product and a price that Stripe has already, switched off."""
    product = await gateway.api.products.create_async({"name": "Old name", "active": False})
    params: Any = {
        "product": product.id,
        "currency": "eur",
        "unit_amount": 4900,
        "recurring": {"interval": "month"},
        "active": False,
        **price,
    }
    made = await gateway.api.prices.create_async(params)
    document = team_catalog()
    document["products"][0]["stripe_product_id"] = product.id
    document["products"][0]["prices"][0]["stripe_price_id"] = made.id
    return document


async def test_what_stripe_has_already_is_adopted_and_put_on_sale(
    bound: Bound, gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    document = await adopted(gateway)
    await applied(bound, document)
    price = (await prices_now(bound))["solo_monthly"]
    assert price.stripe_price_id == document["products"][0]["prices"][0]["stripe_price_id"]
    found = await in_stripe(gateway, price)
    assert (found.active, found.lookup_key) == (True, "solo_monthly")
    product = await gateway.api.products.retrieve_async(document["products"][0]["stripe_product_id"])
    assert (product.active, product.name) == (True, "Solo")
    assert counted(stand_in) == (2, 2)
    assert await applied(bound, document, "apply-2") == m.CatalogChanges()
    # Once adopted, the document need not name it any more.
    assert await applied(bound, team_catalog(), "apply-3") == m.CatalogChanges()


@pytest.mark.parametrize(
    "price",
    [
        {"unit_amount": 4901},
        {"currency": "usd"},
        {"recurring": {"interval": "year"}},
        {"recurring": {"interval": "month", "interval_count": 2}},
    ],
)
async def test_a_price_that_charges_something_else_is_not_adopted(
    bound: Bound, gateway: StripeGateway, stand_in: StripeStandIn, price: dict[str, Any]
) -> None:
    document = await adopted(gateway, **price)
    assert await refused(bound, document) == ["products[0].prices[0].stripe_price_id"]
    assert counted(stand_in) == (1, 1)


async def test_a_price_of_another_product_is_not_adopted(bound: Bound, gateway: StripeGateway) -> None:
    document = await adopted(gateway)
    del document["products"][0]["stripe_product_id"]
    assert await refused(bound, document) == ["products[0].prices[0].stripe_price_id"]


async def test_ids_that_stripe_does_not_know_are_refused(bound: Bound, stand_in: StripeStandIn) -> None:
    document = team_catalog()
    document["products"][0]["stripe_product_id"] = "prod_unknown"
    document["products"][1]["prices"][0]["stripe_price_id"] = "price_unknown"
    assert await refused(bound, document) == ["products[0].stripe_product_id"]
    assert counted(stand_in) == (0, 0)


async def test_hundreds_of_prices_are_made_side_by_side(bound: Bound, stand_in: StripeStandIn) -> None:
    document = tiered_catalog({"up_to": None, "unit_amount": 1})
    one = document["products"][0]["prices"][0]
    document["products"] = [
        {
            "code": f"plan_{number}",
            "name": f"Plan {number}",
            "kind": "plan",
            "prices": [{**one, "code": f"price_{number}_{index}"} for index in range(20)],
        }
        for number in range(15)
    ]
    changes = await applied(bound, document)
    assert len(changes.prices.created) == 300
    assert counted(stand_in) == (15, 300)
