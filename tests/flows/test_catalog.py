"""Applying catalogs, and the products and prices in Stripe afterwards."""

import copy
from typing import Any

from tallystick.messages import catalog as c
from tallystick.messages import subscriptions as m
from tallystick.subjects import CATALOG_TOKEN
from tests.support.catalogs import example_catalog
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

NOTHING = c.CatalogChanges()


def applied(document: dict[str, Any]) -> c.ApplyCatalog:
    """A command that applies a document."""
    return c.ApplyCatalog(command_id=fresh_id("apply"), catalog=document)


def with_wax(name: str = "Sealing wax") -> dict[str, Any]:
    """The example with one more product: 3.00 a month, or 8.00 for the first ten and 5.00 for others."""
    document = copy.deepcopy(example_catalog())
    price = {"currency": "eur", "interval": "month"}
    tiers = [{"up_to": 10, "unit_amount": 800}, {"up_to": None, "unit_amount": 500}]
    document["features"].append({"code": "wax", "name": "Wax", "kind": "limit"})
    document["products"].append(
        {
            "code": "sealing_wax",
            "name": name,
            "kind": "plan",
            "features": [{"feature": "wax", "quantity": 5}],
            "prices": [
                {"code": "wax_flat", "model": "flat", "unit_amount": 300, **price},
                {"code": "wax_tiers", "model": "volume", "tiers": tiers, **price},
            ],
        }
    )
    return document


async def test_applying_the_example_again_changes_nothing_in_stripe(shop: Shop) -> None:
    found = (await shop.billing.ask(c.GetCatalog())).catalog
    document = example_catalog()
    assert [product.code for product in found.products] == [item["code"] for item in document["products"]]
    prices = {price.code: price for product in found.products for price in product.prices}
    for code, amount, interval in (
        ("essential_monthly", 4900, "month"),
        ("essential_yearly", 49000, "year"),
        ("domain_yearly", 1500, "year"),
    ):
        theirs = shop.stripe.v1.prices.retrieve(str(prices[code].stripe_price_id))
        assert (theirs.lookup_key, theirs.unit_amount, theirs.currency, theirs.active) == (
            code,
            amount,
            "eur",
            True,
        )
        assert theirs.recurring is not None
        assert theirs.recurring.interval == interval
    yearly = shop.stripe.v1.prices.retrieve(str(prices["team_yearly"].stripe_price_id), {"expand": ["tiers"]})
    assert yearly.tiers_mode == "graduated"
    assert [(tier.up_to, tier.unit_amount) for tier in yearly.tiers or []] == [(5, 10000), (None, 8000)]
    assert prices["starter_free"].stripe_price_id is None
    in_stripe = len(shop.stripe.v1.prices.list({"limit": 100}).data)
    again = await shop.billing.call(applied(document))
    assert again.changes == NOTHING
    assert (await shop.billing.ask(c.GetCatalog())).catalog == found
    assert len(shop.stripe.v1.prices.list({"limit": 100}).data) == in_stripe


async def test_what_leaves_the_document_is_archived_and_can_come_back(shop: Shop) -> None:
    # One product with two prices and a feature: made, renamed, archived, and back without a second copy.
    async with shop.feed(CATALOG_TOKEN) as told:
        first = (await shop.billing.call(applied(with_wax()))).changes
        assert first.products.created == ["sealing_wax"]
        assert first.prices.created == ["wax_flat", "wax_tiers"]
        assert first.features.created == ["wax"]
        renamed = (await shop.billing.call(applied(with_wax("Red wax")))).changes
        assert renamed == c.CatalogChanges(products=c.CodeChanges(updated=["sealing_wax"]))
        product = await _product(shop, "sealing_wax")
        assert shop.stripe.v1.products.retrieve(str(product.stripe_product_id)).name == "Red wax"

        gone = (await shop.billing.call(applied(example_catalog()))).changes
        assert gone.products.archived == ["sealing_wax"]
        assert gone.prices.archived == ["wax_flat", "wax_tiers"]
        assert gone.features.archived == ["wax"]
        assert not shop.stripe.v1.products.retrieve(str(product.stripe_product_id)).active
        for price in product.prices:
            assert not shop.stripe.v1.prices.retrieve(str(price.stripe_price_id)).active
        await shop.register()
        assert (await shop.refused(shop.checkout("wax_flat")))[0] == "unknown_price"
        archived = (await shop.billing.ask(c.GetCatalog(include_archived=True))).catalog
        assert "sealing_wax" in {product.code for product in archived.products}
        assert "sealing_wax" not in {
            product.code for product in (await shop.billing.ask(c.GetCatalog())).catalog.products
        }

        await shop.billing.call(applied(with_wax("Red wax")))
        back = await _product(shop, "sealing_wax")
        assert back.stripe_product_id == product.stripe_product_id
        assert shop.stripe.v1.products.retrieve(str(back.stripe_product_id)).active
        await shop.billing.call(applied(example_catalog()))

        def of_wax(entity: str) -> list[str]:
            return [event.event for event in told.of(entity) if event.snapshot["code"] == "sealing_wax"]

        await eventually(lambda: of_wax("product").count("archived") == 2)
        assert of_wax("product") == ["created", "updated", "archived", "updated", "archived"]


async def test_an_archived_plan_goes_on_for_those_who_have_it(shop: Shop) -> None:
    await shop.billing.call(applied(with_wax()))
    await shop.register()
    await shop.buys("wax_flat")
    await shop.billing.call(applied(example_catalog()))
    assert (await shop.subscription()).status == "active"
    assert (await shop.allowed("wax")).quantity == 5


async def test_tiers_that_cannot_be_are_refused_by_name(shop: Shop) -> None:
    # A gap is impossible to write down, an overlap, an unbounded tier too early, a fraction of a cent.
    before = (await shop.billing.ask(c.GetCatalog())).catalog
    for tiers, index in (
        ([{"up_to": 5, "unit_amount": 10}, {"up_to": 5, "unit_amount": 8}], 1),
        ([{"up_to": 5, "unit_amount": 10}, {"up_to": 3, "unit_amount": 8}], 1),
        ([{"up_to": None, "unit_amount": 10}, {"up_to": 9, "unit_amount": 8}], 0),
        ([{"up_to": 5, "unit_amount": 10.5}, {"up_to": None, "unit_amount": 8}], 0),
        ([{"from": 7, "up_to": 9, "unit_amount": 10}, {"up_to": None, "unit_amount": 8}], 0),
        ([{"up_to": 5, "unit_amount": 10}], 0),
    ):
        document = with_wax()
        document["products"][-1]["prices"][1]["tiers"] = tiers
        code, details = await shop.refused(applied(document))
        assert code == "invalid_catalog", tiers
        paths = [problem["path"] for problem in details]
        assert any(f"tiers[{index}]" in path for path in paths), (tiers, details)
        assert all(problem["problem"] for problem in details)
    assert (await shop.billing.ask(c.GetCatalog())).catalog == before
    assert "wax" not in {product.name for product in shop.stripe.v1.products.list({"limit": 100}).data}


async def test_a_catalog_edit_applies_from_the_next_period(shop: Shop) -> None:
    # 5 wax now, 7 in the document; at the renewal it is 7.
    await shop.billing.call(applied(with_wax()))
    clock = await shop.on_a_clock()
    bought = await shop.buys("wax_flat")
    edited = with_wax()
    edited["products"][-1]["features"][0]["quantity"] = 7
    await shop.billing.call(applied(edited))
    # Stripe tells of the subscription again in the middle of its period.
    shop.stripe.v1.subscriptions.update(str(bought.stripe_subscription_id), {"metadata": {"noted": "yes"}})
    await shop.all_applied()
    assert (await shop.allowed("wax")).quantity == 5
    shop.advance(clock, bought.current_period_end)

    async def has_seven() -> bool:
        return (await shop.allowed("wax")).quantity == 7

    await eventually(has_seven)
    found: m.SubscriptionSnapshot = await shop.subscription()
    assert found.items[0].features[0].quantity == 7
    await shop.billing.call(applied(example_catalog()))


async def _product(shop: Shop, code: str) -> c.ProductWithPrices:
    found = (await shop.billing.ask(c.GetCatalog())).catalog
    return next(product for product in found.products if product.code == code)
