"""Health and alarms, measured on a real JetStream and database."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from nats.js import JetStreamContext
from prometheus_client import generate_latest

from services.monitoring.app import provide, service
from services.monitoring.domain.alarms import MetricName
from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.health.measurements import measure
from services.monitoring.settings import AlarmRules, MonitoringSettings
from shared.messaging.nats_connection import connect
from shared.messaging.service_client import ServiceClient
from tallystick.messages import monitoring as m
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.waiting import eventually
from tests.support.worlds.balances import MEMBERS, OWN, UnitsWorld
from tests.support.worlds.monitoring import BEGIN, MonitoringWorld


@pytest.fixture
async def watched(
    bind: Callable[..., Bound], units: UnitsWorld, nats_server: NatsServer
) -> AsyncIterator[MonitoringWorld]:
    """The monitoring service with streams, consumers, and consumables answering."""
    await nats_server.provision()
    settings = MonitoringSettings(
        nats_url=nats_server.users["monitoring"], database_url=units.bound.owner_url
    )
    provided = provide(settings)
    async with answering(units.bound.runtime, nats_server):
        yield MonitoringWorld(bind(service, *provided))
    for each in provided:
        if hasattr(each, "close"):
            await each.close()


async def test_health_measures_services_streams_and_database(
    watched: MonitoringWorld, nats_server: NatsServer
) -> None:
    admin = await connect(nats_server.users["admin"], "test")
    await admin.jetstream().publish("billing.dead_letters.seats.assign_seat", b"{}")
    await admin.jetstream().publish("billing.change_feed.customer.user_7.createdV1", b"{}")
    feed = admin.jetstream()
    await eventually(lambda: _is_copied(feed))
    await admin.close()
    health = await watched.asks(m.GetHealth())
    assert health["status"] == "critical", "nobody reads the consumers"
    services = {each["service"]: each for each in health["services"]}
    assert {"subscriptions", "seats", "consumables", "webhooks", "monitoring"} <= set(services)
    assert (services["seats"]["ready"], services["seats"]["dead_letters"]) == (False, 1)
    assert services["monitoring"]["consumer_lag"] >= 1
    assert (health["followed"]["caught_up"], health["followed"]["last_event_at"]) == (False, None)
    assert health["database"]["bytes"] > 1_000_000
    assert health["database"]["connections"] >= 1
    streams = {stream["stream"]: stream for stream in health["streams"]}
    assert streams["BILLING_DEAD_LETTERS"]["messages"] == 1
    assert streams["BILLING_CHANGE_FEED"]["full_percent"] == 0.0


async def _is_copied(feed: JetStreamContext) -> bool:
    """Whether the service feed has what was published to the change feed."""
    return (await feed.stream_info("BILLING_SERVICE_FEED")).state.messages > 0


async def test_an_outbox_that_nobody_publishes_is_told(watched: MonitoringWorld, units: UnitsWorld) -> None:
    await units.grant(10)
    await units.bound.execute("UPDATE consumables.outbox SET recorded_at = now() - interval '100 seconds'")
    services = {each["service"]: each for each in (await watched.asks(m.GetHealth()))["services"]}
    assert services["consumables"]["outbox_lag_seconds"] >= 100
    assert services["seats"]["outbox_lag_seconds"] == 0


async def test_an_alarm_is_told_once_when_it_is_raised_and_once_when_it_is_cleared(
    watched: MonitoringWorld, units: UnitsWorld
) -> None:
    await units.grant(10, OWN, MEMBERS)
    await units.uses(8, feature=MEMBERS, account=OWN)
    await check(watched, 0)
    await check(watched, 1)
    raised = [alarm for alarm in (await watched.asks(m.GetHealth()))["alarms"] if alarm["about"] == MEMBERS]
    assert [(alarm["rule"], alarm["value"], alarm["threshold"]) for alarm in raised] == [
        ("capacity_warning", 80.0, 80.0)
    ]
    await units.grant(10, OWN, MEMBERS)
    await check(watched, 2)
    await check(watched, 3)
    told = [
        (subject.rpartition(".")[2], body["alarm"]["version"], body["alarm"]["value"])
        for subject, body in await watched.bound.feed()
        if body.get("alarm", {}).get("about") == MEMBERS
    ]
    assert told == [("raisedV1", 1, 80.0), ("clearedV1", 2, 40.0)]
    # The same again is another alarm.
    await units.uses(8, feature=MEMBERS, account=OWN)
    await check(watched, 4)
    rows = await watched.bound.rows("SELECT alarm_id FROM monitoring.alarms WHERE about = %s", MEMBERS)
    assert len(rows) == 2


async def test_two_workers_that_check_at_once_raise_one_alarm(
    watched: MonitoringWorld, units: UnitsWorld
) -> None:
    await units.grant(10, OWN, MEMBERS)
    await units.uses(10, feature=MEMBERS, account=OWN)
    await asyncio.gather(*(check(watched, 0) for _ in range(4)))
    rows = await watched.bound.rows("SELECT rule FROM monitoring.alarms WHERE about = %s ORDER BY 1", MEMBERS)
    assert [row["rule"] for row in rows] == ["capacity_critical", "capacity_warning"]


async def test_every_metric_of_the_rules_is_measured(watched: MonitoringWorld) -> None:
    provided = watched.bound.runtime.dispatcher.provided
    rules: AlarmRules = provided[AlarmRules]
    async with watched.bound.runtime.transactions.read(asked="test", now=BEGIN) as work:
        found = await measure(work, provided[JetStreamMonitor], provided[ServiceClient])
    asked: set[MetricName] = {rule.metric for rule in rules}
    assert asked == found.keys()


async def test_prometheus_is_told_what_no_worker_knows_by_itself(watched: MonitoringWorld) -> None:
    await check(watched, 0)
    exported = generate_latest().decode()
    limit = re.search(
        r'^tallystick_stream_max_bytes\{stream="BILLING_COMMANDS"\} (\S+)$', exported, re.MULTILINE
    )
    assert limit is not None
    assert float(limit[1]) == 1_073_741_824
    for name in (
        "stream_bytes",
        "dead_letters",
        "database_bytes",
        "database_connections",
        "database_max_connections",
    ):
        assert re.search(rf"^tallystick_{name}\b.* [1-9]|^tallystick_{name}\b.* 0", exported, re.MULTILINE), (
            name
        )


async def check(world: MonitoringWorld, minute: int) -> None:
    """Check the alarms at a minute."""
    await world.bound.tick("check_alarms", BEGIN + timedelta(minutes=minute))
