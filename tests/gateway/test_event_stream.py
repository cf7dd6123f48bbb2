"""The feed as server-sent events: new and missed events, for customers and operators."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, READ, GatewaySystem
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

OWN, WHOLE = "/api/v1/billing/feed", "/api/v1/admin/feed"
CHANGES = "/changes"
"""What pages listen to."""
PATIENCE_SECONDS = 20

pytestmark = pytest.mark.timeout(180)


@dataclass(slots=True)
class Heard:
    """One server-sent event."""

    id: int
    event: str
    data: dict[str, Any]


async def hear(response: httpx.Response) -> AsyncIterator[Heard]:
    """Yield the events of a stream without its comments."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Heard(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


async def listen(
    http: httpx.AsyncClient, path: str, count: int, shop: Shop | None, **headers: str
) -> list[Heard]:
    """Return this many events; a shop registers its customer once the stream is open."""
    heard: list[Heard] = []
    async with asyncio.timeout(PATIENCE_SECONDS), http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        if shop is not None:
            await shop.register()
        async for event in hear(response):
            heard.append(event)
            if len(heard) == count:
                break
    return heard


async def test_a_change_is_heard_and_what_was_missed_comes_first(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(shop.acme, READ) as http:
        [first] = await listen(http, OWN, 1, shop)
        assert first.event == "customer.createdV1"
        assert first.data["customer"]["id"] == shop.acme.id

        # Two changes while no client listens; a third once one does again.
        await shop.register(email="two@acme.example")
        await shop.register(email="three@acme.example")
        missed = await listen(http, OWN, 2, None, **{"Last-Event-ID": str(first.id)})
        assert [event.data["customer"]["email"] for event in missed] == [
            "two@acme.example",
            "three@acme.example",
        ]
        assert [event.data["version"] for event in missed] == [2, 3]
        assert first.id < missed[0].id < missed[1].id

        again = await listen(http, OWN, 1, shop, **{"Last-Event-ID": str(missed[1].id)})
        assert [event.data["version"] for event in again] == [4]


async def test_a_customer_hears_only_of_itself(gateway: GatewaySystem, shop: Shop) -> None:
    other = Shop(shop.system, shop.billing, shop.browser)
    async with (
        gateway.http(shop.acme, READ) as http,
        asyncio.timeout(PATIENCE_SECONDS),
        http.stream("GET", OWN) as response,
    ):
        await other.register()
        await shop.register()
        heard = await anext(hear(response))
    assert heard.data["customer"]["id"] == shop.acme.id


async def test_a_member_sees_that_the_team_changed_but_not_what(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("studio_monthly", 3)
    holder, stranger = (Customer(type="user", id=fresh_id(kind)) for kind in ("holder", "stranger"))
    async with gateway.http(shop.acme) as http:

        async def given() -> bool:
            wish = {"member": holder.model_dump(), "immediate": True}
            return (await http.post("/api/v1/billing/team/seats", json=wish)).status_code == 201

        await eventually(given)
        async with (
            gateway.http(holder, READ) as theirs,
            gateway.http(stranger, READ) as nobodys,
            asyncio.timeout(PATIENCE_SECONDS),
            theirs.stream("GET", CHANGES) as told,
            nobodys.stream("GET", CHANGES) as untold,
        ):
            assert (told.status_code, untold.status_code) == (200, 200)
            invited = await http.post("/api/v1/billing/team/seats", json={"email": "mia@example.com"})
            assert invited.status_code == 201
            lines = told.aiter_lines()
            heard = [line async for line in _until(lines, "event: change")]
            assert not any("mia@example.com" in line for line in [*heard, await anext(lines)])
            await shop.register(stranger, email="stranger@example.com")
            # The stranger's first event is their own: nothing came before it.
            first = [line async for line in _until(untold.aiter_lines(), "id: ")][-1]
            assert int(first.removeprefix("id: ")) > await _place_of(gateway, shop, "seat")


async def _until(lines: AsyncIterator[str], beginning: str) -> AsyncIterator[str]:
    """Lines up to the first with a beginning."""
    async for line in lines:
        yield line
        if line.startswith(beginning):
            return


async def _place_of(gateway: GatewaySystem, shop: Shop, entity: str) -> int:
    """Return the position of the newest event of a kind about the shop's customer."""
    async with gateway.http("organization_operations", ADMIN) as http:
        found = (await http.get(f"/api/v1/admin/customers/{shop.acme.token}/history")).json()["items"]
    return int(next(one["sequence"] for one in found if one["type"].startswith(f"{entity}.")))


async def test_operators_hear_everything_filtered_as_they_wish(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http("organization_operations", ADMIN) as http:
        path = f"{WHOLE}?customer={shop.acme.token}&entity=customer"
        [heard] = await listen(http, path, 1, shop)
        assert heard.event == "customer.createdV1"
        everything = await listen(http, WHOLE, 3, None, **{"Last-Event-ID": "0"})
        assert [event.id for event in everything] == [1, 2, 3]
        # A place that the stream does not have: it was rebuilt, so all of it is new.
        rebuilt = await listen(http, WHOLE, 1, None, **{"Last-Event-ID": "999999999"})
        assert rebuilt[0].id == 1


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "9" * 20])
async def test_a_place_that_is_none(gateway: GatewaySystem, place: str) -> None:
    async with gateway.http("organization_operations", ADMIN) as http:
        answer = await http.get(WHOLE, headers={"Last-Event-ID": place})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_message")


async def test_a_stream_ends_with_its_token(gateway: GatewaySystem, shop: Shop) -> None:
    async with (
        gateway.http(shop.acme, READ, exp=int(time.time()) + 2) as http,
        asyncio.timeout(PATIENCE_SECONDS),
        http.stream("GET", OWN) as response,
    ):
        assert [event async for event in hear(response)] == []


async def test_too_many_streams_of_one_customer_are_refused(gateway: GatewaySystem) -> None:
    customer = f"organization_{fresh_id('tabs')}"
    async with gateway.http(customer, READ) as http:
        opened = [http.stream("GET", OWN) for _ in range(20)]
        try:
            for one in opened:
                assert (await one.__aenter__()).status_code == 200
            refused = await http.get(OWN)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        finally:
            for one in opened:
                await one.__aexit__(None, None, None)
