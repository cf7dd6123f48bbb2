"""Health and metrics of a worker."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig, StreamSource

from shared.errors import Rejected
from shared.messaging import redelivery
from shared.messaging.service import Service
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy import service as toy
from tests.support.toy.worker import Start, request
from tests.support.waiting import eventually
from tests.support.workers import is_ready


async def test_ready_tells_the_truth(
    start: Start, connection: Client, counters: Bound, nats_server: NatsServer
) -> None:
    async with start(toy.service) as (_, http):
        assert (await http.get("/live")).status_code == 200
        assert (await http.get("/ready")).json() == {"status": "ready", "problems": {}}
        await connection.jetstream().delete_consumer("BILLING_COMMANDS", "toy-commands")
        answer = await http.get("/ready")
        assert answer.status_code == 503
        assert list(answer.json()["problems"]) == ["consumer toy-commands"]
        metrics = (await http.get("/metrics")).text
        assert "tallystick_outbox_lag_seconds" in metrics
        assert 'tallystick_component_up{component="database",service="toy"} 1.0' in metrics
        assert 'tallystick_component_up{component="consumer toy-commands",service="toy"} 0.0' in metrics
        # From the start: Prometheus sees no increase in a counter that begins with 1.
        dead_lettered = 'tallystick_handled_total{handler="increment",outcome="dead_lettered",service="toy"}'
        assert dead_lettered in metrics
        await connection.jetstream().add_consumer(
            "BILLING_COMMANDS",
            ConsumerConfig(durable_name="toy-commands", filter_subjects=["billing.commands.toy.>"]),
        )
        await eventually(lambda: is_ready(http))
        await _end_connections_for_good(counters.owner_url)
        answer = await http.get("/ready")
        assert "database" in answer.json()["problems"]
        assert (await http.get("/live")).status_code == 200


@pytest.mark.parametrize("which", ["requests", "answers"])
async def test_a_worker_replaces_a_connection_closed_for_good(
    start: Start, connection: Client, which: str
) -> None:
    async with start(toy.service) as (worker, http):
        closed = getattr(worker, which).connection
        await closed.close()
        await eventually(lambda: getattr(worker, which).connection not in (None, closed))
        await eventually(lambda: is_ready(http))
        answered = await request(connection, "increment", {"command_id": "a", "counter": "x"})
        assert answered["status"] == "succeeded"


async def test_messages_are_counted_and_timed_by_outcome(
    start: Start, connection: Client, outside: toy.Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "DELIVERIES_MAX", 2)
    service = Service("toy", metadata=toy.Row.metadata)
    service.command(toy.Increment)(toy.increment)
    service.external_command(toy.Charge)(toy.charge)
    service.question(toy.GetCounter)(toy.get_counter)

    @service.command(toy.Fill, together=True)
    async def fill(work: UnitOfWork, commands: Sequence[toy.Fill]) -> list[Rejected]:
        return [Rejected("too_much", "No more.") for _ in commands]

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        raise ValueError("no good")

    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent) -> None:
        pass

    jetstream = connection.jetstream()
    feed = ConsumerConfig(durable_name="toy-feed", filter_subject="billing.change_feed.counter.>")
    await jetstream.update_stream(
        StreamConfig(name="BILLING_SERVICE_FEED", sources=[StreamSource(name="BILLING_CHANGE_FEED")])
    )
    await jetstream.add_consumer("BILLING_SERVICE_FEED", feed)
    outside.away = True
    async with start(service) as (_, http):
        before = await _counted(http)
        answers = [
            await request(connection, "increment", {"command_id": "a", "counter": "x"}),
            await request(connection, "charge", {"command_id": "b", "counter": "x"}),
            await request(connection, "get_counter", {"counter": "y"}),
            await request(connection, "fill", {"command_id": "c", "counter": "x"}),
        ]
        assert [answer["status"] for answer in answers] == ["succeeded", "failed", "rejected", "rejected"]
        for name, body in [
            ("increment", {"command_id": "d", "counter": "x"}),
            ("increment", {"command_id": "e", "counter": "x", "by": toy.LIMIT}),
            ("fill", {"command_id": "f", "counter": "x"}),
        ]:
            await jetstream.publish(f"billing.commands.toy.{name}", json.dumps(body).encode())
        await jetstream.publish("billing.ticks.toy.tidy", b"{}")
        expected = {
            ("increment", "succeeded"): 2,
            ("increment", "rejected"): 1,
            ("charge", "failed"): 1,
            ("get_counter", "rejected"): 1,
            ("fill", "rejected"): 2,
            ("tidy", "retried"): 1,
            ("tidy", "dead_lettered"): 1,
            ("note_counter", "succeeded"): 2,
            ("timed", "increment"): 3,
            ("timed", "charge"): 1,
            ("timed", "get_counter"): 1,
            ("timed", "fill"): 2,
            ("timed", "tidy"): 2,
            ("timed", "note_counter"): 2,
            ("grouped", "fill"): 2,
            ("published", "outbox"): 2,
        }

        async def counted() -> bool:
            now = await _counted(http)
            found = {about: number - before.get(about, 0) for about, number in now.items()}
            assert {about: number for about, number in found.items() if number} == expected
            return True

        await eventually(counted)
        await jetstream.delete_consumer("BILLING_TICKS", "toy-ticks")
        await jetstream.publish("billing.commands.toy.charge", b'{"command_id": "g", "counter": "x"}')

        async def lags() -> bool:
            return (
                'consumer_pending_messages{consumer="toy-commands",service="toy"} 1.0'
                in (await http.get("/metrics")).text
            )

        await eventually(lags)


async def _counted(http: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """Return the worker's metrics of the toy by handler and outcome, and the number of timings."""
    metrics = (await http.get("/metrics")).text
    found: dict[tuple[str, str], float] = {}
    for handler, outcome, number in re.findall(
        r'^tallystick_handled_total{handler="(\w+)",outcome="(\w+)",service="toy"} (\S+)$', metrics, re.M
    ):
        found[handler, outcome] = float(number)
    for handler, number in re.findall(
        r'^tallystick_handling_seconds_count{handler="(\w+)",service="toy"} (\S+)$', metrics, re.M
    ):
        found["timed", handler] = float(number)
    for group, number in re.findall(
        r'^tallystick_group_commit_items_sum{group="(\w+)",service="toy"} (\S+)$', metrics, re.M
    ):
        found["grouped", group] = float(number)
    for number in re.findall(r'^tallystick_outbox_published_total{service="toy"} (\S+)$', metrics, re.M):
        found["published", "outbox"] = float(number)
    return found


async def test_a_database_outage_uses_up_no_delivery(
    start: Start, connection: Client, counters: Bound
) -> None:
    async with start(toy.service):
        jetstream = connection.jetstream()
        await _end_connections_for_good(counters.owner_url)
        body = json.dumps({"command_id": "a", "counter": "x"}).encode()
        await jetstream.publish("billing.commands.toy.increment", body)

        async def taken() -> bool:
            return await _count(jetstream, "num_ack_pending") == 1

        await eventually(taken)
        for _ in range(3):
            refused = await request(connection, "increment", {"command_id": "b", "counter": "x"})
        assert (refused["status"], refused["error"]["code"]) == ("failed", "unavailable")
        assert await _count(jetstream, "num_redelivered") == 0
        await _allow_connections(counters.owner_url)

        async def done() -> bool:
            return (await jetstream.stream_info("BILLING_COMMANDS")).state.messages == 0

        await eventually(done)
        assert (await request(connection, "get_counter", {"counter": "x"}))["result"]["value"] == 1


async def _count(jetstream: Any, what: str) -> int:
    return int(getattr(await jetstream.consumer_info("BILLING_COMMANDS", "toy-commands"), what))


async def _allow_connections(owner_url: str) -> None:
    name = owner_url.rpartition("/")[2]
    maintenance = owner_url.removesuffix(name) + "postgres"
    async with await psycopg.AsyncConnection.connect(maintenance, autocommit=True) as owner:
        await owner.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


async def _end_connections_for_good(owner_url: str) -> None:
    name = owner_url.rpartition("/")[2]
    maintenance = owner_url.removesuffix(name) + "postgres"
    async with await psycopg.AsyncConnection.connect(maintenance, autocommit=True) as owner:
        await owner.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


async def test_a_worker_that_does_not_publish_reports_the_outbox_lag(start: Start, counters: Bound) -> None:
    async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as leader:
        number = int.from_bytes(hashlib.sha256(b"relay toy").digest()[:8], signed=True)
        await leader.execute("SELECT pg_advisory_lock(%s)", (number,))
        async with start(toy.service) as (_, http):

            async def lag_seconds() -> float:
                metrics = (await http.get("/metrics")).text
                [line] = re.findall(r'^tallystick_outbox_lag_seconds{service="toy"} (\S+)$', metrics, re.M)
                return float(line)

            async def waits() -> bool:
                return await lag_seconds() > 0.1

            async def waits_no_more() -> bool:
                return await lag_seconds() == 0

            assert await waits_no_more()
            await counters.handle(toy.Increment(command_id="a", counter="x"))
            await eventually(waits)
            await leader.execute("SELECT pg_advisory_unlock_all()")
            await eventually(waits_no_more)


async def test_a_message_that_cannot_be_published_is_seen_from_outside(start: Start, counters: Bound) -> None:
    async with start(toy.service) as (_, http):
        async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as owner:
            await owner.execute(
                """INSERT INTO toy.outbox
                       (message_id, stream, subject, headers, payload, caused_by, occurred_at)
                   VALUES ('m', 'NOWHERE', 'nowhere.at.all', '{}', '', 'test', now())"""
            )

        async def is_told() -> bool:
            answer = await http.get("/ready")
            return answer.status_code == 503 and "relay" in answer.json()["problems"]

        await eventually(is_told)
