"""A new installation of monitoring on a system whose change feed no longer has everything."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.monitoring.app import provide, service
from services.monitoring.settings import MonitoringSettings
from shared.messaging.nats_connection import connect
from tallystick.messages import monitoring as m
from tallystick.messages import subscriptions as s
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.monitoring import MonitoringWorld
from tests.support.worlds.subscriptions import ACME, World

NOW = datetime.now(UTC)


@pytest.fixture
async def late(
    bind: Callable[..., Bound], world: World, nats_server: NatsServer
) -> AsyncIterator[MonitoringWorld]:
    """Monitoring beside a shop that has sold, with a feed that has none of it."""
    await nats_server.provision()
    price = s.ItemToBuy(price="solo_monthly")
    await world.does(
        s.CreateSubscription(
            command_id=world.command_id(), customer=ACME, items=[price], collection="none", trial_days=0
        )
    )
    settings = MonitoringSettings(
        nats_url=nats_server.users["monitoring"], database_url=world.bound.owner_url
    )
    provided = provide(settings)
    async with answering(world.bound.runtime, nats_server):
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
    rows = await late.bound.rows("SELECT entity, seen, done_at FROM monitoring.catch_ups ORDER BY entity")
    assert [row["entity"] for row in rows] == ["catalog", "customer", "subscription"]
    assert all(row["done_at"] for row in rows)
    assert await late.bound.rows("SELECT customer FROM monitoring.known_customers")


async def test_the_feed_comes_first(late: MonitoringWorld, nats_server: NatsServer) -> None:
    admin = await connect(nats_server.users["admin"], "test")
    await admin.jetstream().publish("billing.change_feed.customer.user_7.createdV1", b"{}")
    info = None
    while info is None or not info.num_pending:
        info = await admin.jetstream().consumer_info("BILLING_SERVICE_FEED", "monitoring-feed")
    await admin.close()
    await late.bound.tick("catch_up", NOW)
    assert await late.bound.rows("SELECT * FROM monitoring.catch_ups") == []
