"""Benefits over HTTP and on the page "My benefits"."""

import asyncio

import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import READ, GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

CALLS = "https://support.example.com/calls?benefit_token="
BENEFIT = "/my/benefits/priority_support"

pytestmark = pytest.mark.timeout(120)


async def test_whoever_has_a_benefit_opens_it_and_nobody_else(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("professional_monthly")
    stranger = Customer(type="user", id=fresh_id("stranger"))
    async with visiting(gateway, shop.acme) as visitor, visiting(gateway, stranger, READ) as other:

        async def listed() -> bool:
            return "Book a call with support" in (await visitor.http.get("/my")).text

        await eventually(listed)
        opened, refused = await asyncio.gather(visitor.http.get(BENEFIT), other.http.get(BENEFIT))
    assert opened.status_code == 307
    assert opened.headers["location"].startswith(CALLS)
    assert opened.headers["cache-control"] == "no-store"
    assert refused.status_code == 403
    assert "You do not have this benefit" in refused.text
    async with gateway.http(shop.acme, READ) as http, gateway.http(stranger, READ) as others:
        answers = await asyncio.gather(
            http.get("/api/v1/benefits"),
            http.get("/api/v1/benefits/priority_support"),
            others.get("/api/v1/benefits/priority_support"),
        )
    assert [benefit["label"] for benefit in answers[0].json()["benefits"]] == ["Book a call with support"]
    assert answers[1].headers["location"].startswith(CALLS)
    assert (answers[2].status_code, answers[2].json()["code"]) == (403, "not_entitled")
