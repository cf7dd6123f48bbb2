"""Sales of products that have a seller are reported to payouts, once and with the terms of that moment."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tests.support.catalogs import team_catalog
from tests.support.worlds.plan_changes import CREW_CATALOG, Crew
from tests.support.worlds.subscriptions import ACME, OpenShop, World

SPACE = {"type": "organization", "id": "space"}
OTHER = {"type": "organization", "id": "other"}


def sold_by(
    document: dict[str, Any], product: str, seller: dict[str, str], percent: int = 85
) -> dict[str, Any]:
    """A copy of a catalog in which a product has a seller."""
    products = [
        {**one, "seller": {"customer": seller, "share_percent": percent}} if one["code"] == product else one
        for one in document["products"]
    ]
    return {**document, "products": products}


async def applied(shop: World, document: dict[str, Any]) -> dict[str, Any]:
    """Apply a catalog; the changes."""
    result = await shop.does(catalog.ApplyCatalog(command_id=shop.command_id(), catalog=document))
    changes: dict[str, Any] = result["changes"]
    return changes


@pytest.fixture
async def space(open_shop: OpenShop) -> World:
    """A shop in which somebody else sells the plan `solo`; one customer is registered."""
    shop = await open_shop(sold_by(team_catalog(), "solo", SPACE))
    await shop.register()
    return shop


async def test_a_paid_invoice_is_reported_once(space: World) -> None:
    await space.buys("solo_monthly")
    await space.catches_up()
    events = [event for event in space.stripe_events() if event["type"].startswith("invoice.")]
    await space.hears(*events, *reversed(events))
    (sale,) = await space.reports("record_sale")
    (invoice,) = (await space.asks(m.ListInvoices(customer=ACME)))["items"]
    assert invoice["lines"][0]["product"] == "solo"
    assert {name: sale[name] for name in ("invoice_id", "currency", "total", "lines")} == {
        "invoice_id": invoice["invoice_id"],
        "currency": "eur",
        "total": 4_900,
        "lines": [{"product": "solo", "seller": SPACE, "share_percent": 85, "fee": None, "net": 4_900}],
    }


async def test_a_discount_is_not_shared(space: World) -> None:
    coupon = space.stripe.v1.coupons.create({"percent_off": 20, "duration": "once"}).id
    code = space.stripe.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon}})
    await space.buys("solo_monthly", promotion_code=code.id)
    await space.catches_up()
    (sale,) = await space.reports("record_sale")
    assert (sale["total"], sale["lines"][0]["net"]) == (3_920, 3_920)


async def test_the_platforms_own_products_are_not_reported(world: World) -> None:
    await world.buys("solo_monthly")
    await world.catches_up()
    assert await world.reports("record_sale") == []


async def test_a_seller_who_is_changed_keeps_what_was_sold_before(open_shop: OpenShop) -> None:
    crew = Crew(await open_shop(sold_by(CREW_CATALOG, "crew", SPACE)))
    shop = crew.world
    await crew.begins(quantity=3)
    changes = await applied(shop, sold_by(CREW_CATALOG, "crew", OTHER, 50))
    assert changes["products"]["updated"] == ["crew"]
    await crew.reaches(datetime(2026, 2, 1, 2, tzinfo=UTC))
    first, second = await shop.reports("record_sale")
    assert (first["lines"][0]["seller"], first["lines"][0]["share_percent"]) == (SPACE, 85)
    assert (second["lines"][0]["seller"], second["lines"][0]["share_percent"]) == (OTHER, 50)
    assert (await applied(shop, CREW_CATALOG))["products"]["updated"] == ["crew"]


async def test_prorations_are_reported_as_they_are(open_shop: OpenShop) -> None:
    crew = Crew(await open_shop(sold_by(CREW_CATALOG, "crew", SPACE)))
    await crew.begins(quantity=3)
    await crew.reaches(datetime(2026, 1, 16, 12, tzinfo=UTC))
    await crew.world.does(await crew.quantity(6, when="now", proration="invoice"))
    await crew.world.catches_up()
    _, sale = await crew.world.reports("record_sale")
    nets = [line["net"] for line in sale["lines"]]
    assert min(nets) < 0 < max(nets) and sum(nets) == sale["total"]


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"customer": {"type": "user", "id": "7"}, "share_percent": 85}, "customer"),
        ({"customer": SPACE, "share_percent": 101}, "share_percent"),
        ({"customer": SPACE}, "share_percent"),
        ({"customer": SPACE, "share_percent": 85, "percent": 1}, "percent"),
        ({"customer": SPACE, "share_percent": 85, "fee": {"amount": -1, "currency": "eur"}}, "fee.amount"),
    ],
)
async def test_terms_that_are_wrong(world: World, terms: dict[str, Any], path: str) -> None:
    document = team_catalog()
    document["products"][0]["seller"] = terms
    code, problems = await world.refuses(
        catalog.ApplyCatalog(command_id=world.command_id(), catalog=document)
    )
    assert code == "invalid_catalog"
    assert [problem["path"] for problem in problems] == [f"products[0].seller.{path}"]


async def test_buyers_do_not_see_the_terms(space: World) -> None:
    await space.buys("solo_monthly")
    await space.catches_up()
    for _, body in await space.told("invoice"):
        assert "seller" not in str(body) and "share_percent" not in str(body)


async def test_what_a_connected_account_sells_is_not_applied(world: World) -> None:
    await world.buys("solo_monthly")
    events = [{**event, "account": "acct_seller"} for event in world.new_events()]
    await world.hears(*events)
    assert await world.told("subscription") == []
    assert await world.reports() == []
