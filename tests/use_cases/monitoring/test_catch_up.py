"""A new installation of monitoring on a system whose change feed no longer has everything."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.monitoring.app import provide, service
from services.monitoring.settings import MonitoringSettings
from services.seats.app import service as seats
from services.seats.invitations.tokens import Invitations
from shared.messaging.nats_connection import connect
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import catalog
from tallystick.messages import monitoring as m
from tallystick.messages import subscriptions as s
from tests.support.answering import answering
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.monitoring import MonitoringWorld
from tests.support.worlds.seats import SECRET, SeatWorld
from tests.support.worlds.subscriptions import ACME, World

NOW = datetime.now(UTC)
URLS: dict[str, Any] = {"success_url": "https://app/done", "cancel_url": "https://app/back"}
NOWHERE = CommonSettings(nats_url="nats://127.0.0.1:1")


@pytest.fixture
async def late(
    bind: Callable[..., Bound], world: World, nats_server: NatsServer
) -> AsyncIterator[MonitoringWorld]:
    """Monitoring beside a shop that has sold, with a feed that has none of it."""
    await nats_server.provision()
    document = team_catalog()
    document["products"].append(
        {
            "code": "badge",
            "name": "Badge",
            "kind": "add_on",
            "features": [],
            "prices": [{"code": "badge_free", "model": "free"}],
        }
    )
    await world.does(catalog.ApplyCatalog(command_id="badge", catalog=document))
    await world.buys()
    await world.catches_up()
    await world.does(s.PurchaseAddOn(command_id="buy badge", customer=ACME, price="badge_free", **URLS))
    company = SeatWorld(bind(seats, Invitations.of(SECRET), ServiceClient(NOWHERE, "seats")))
    await company.subscribed(5)
    await company.has("member@example.com", "7")
    await company.does(await company.assign("invited@example.com"))
    settings = MonitoringSettings(
        nats_url=nats_server.users["monitoring"], database_url=world.bound.owner_url
    )
    provided = provide(settings)
    async with (
        answering(world.bound.runtime, nats_server),
        answering(company.bound.runtime, nats_server),
    ):
        yield MonitoringWorld(bind(service, *provided))
    for each in provided:
        if hasattr(each, "close"):
            await each.close()


async def mrr(world: MonitoringWorld) -> list[int]:
    """The recurring revenue of these days."""
    question = m.GetRevenue(since=NOW - timedelta(days=1), until=NOW + timedelta(days=1))
    return [item["mrr"] for item in (await world.asks(question))["items"]][-1:]


async def test_what_the_feed_does_not_have_is_asked_for_once(late: MonitoringWorld) -> None:
    assert await mrr(late) == []
    await late.bound.tick("catch_up", NOW)
    assert await mrr(late) == [4900]
    await late.bound.tick("catch_up", NOW)
    assert await mrr(late) == [4900]
    rows = await late.bound.rows("SELECT entity, seen, done_at FROM monitoring.catch_ups")
    assert all(row["done_at"] for row in rows)
    seen = {row["entity"]: row["seen"] for row in rows}
    assert seen.pop("catalog") > 0
    assert seen == {"customer": 1, "subscription": 2, "invoice": 1, "add_on": 1, "team": 1}
    assert await late.bound.rows("SELECT customer FROM monitoring.known_customers")
    spent = m.GetSpending(customer=ACME, since=NOW - timedelta(days=40), until=NOW + timedelta(days=40))
    assert [period["paid"] for period in (await late.asks(spent))["items"]] == [4900]
    counted = await late.bound.rows(
        "SELECT (SELECT sum(occupied) FROM monitoring.known_teams) AS occupied,"
        " (SELECT array_agg(status ORDER BY status) FROM monitoring.known_seats) AS seats,"
        " (SELECT array_agg(product) FROM monitoring.known_add_ons) AS add_ons"
    )
    assert counted == [{"occupied": 3, "seats": ["claimed", "pending"], "add_ons": ["badge"]}]


async def test_the_feed_comes_first(late: MonitoringWorld, nats_server: NatsServer) -> None:
    admin = await connect(nats_server.users["admin"], "test")
    await admin.jetstream().publish("billing.change_feed.customer.user_7.createdV1", b"{}")
    info = None
    while info is None or not info.num_pending:
        info = await admin.jetstream().consumer_info("BILLING_SERVICE_FEED", "monitoring-feed")
    await admin.close()
    await late.bound.tick("catch_up", NOW)
    assert await late.bound.rows("SELECT * FROM monitoring.catch_ups") == []
