"""A worker in front of real NATS: both ways in, retries, dead letters, ticks.

And health that tells the truth.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import nats
import psycopg
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, StreamConfig, StreamSource

from shared import delivery, requests
from shared import worker as worker_module
from shared.delivery import Incoming, Undeliverable
from shared.faults import Rejected, Unavailable
from shared.provision import LAYOUT_PATH
from shared.service import Service
from shared.settings import Settings
from shared.steps import Steps
from shared.streams import apply_layout, load_layout
from shared.work import Transactions, Work
from tests.plumbing import toy
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.waiting import eventually
from tests.support.workers import is_ready, running

Start = Callable[[Service], AbstractAsyncContextManager[Any]]


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Client]:
    """NATS with all streams and the toy's consumers."""
    client = await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")
    await apply_layout(client, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks"))
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name="THINGS", subjects=["things.>"]))
    for stream, name, subjects in [
        ("BILLING_COMMANDS", "toy-commands", ["billing.commands.toy.>"]),
        ("BILLING_TICKS", "toy-ticks", ["billing.ticks.toy.>"]),
        ("THINGS", "toy-things", ["things.>"]),
    ]:
        await jetstream.add_consumer(
            stream, ConsumerConfig(durable_name=name, filter_subjects=subjects, max_deliver=-1)
        )
    yield client
    await client.close()


@pytest.fixture
def start(counters: Bound, outside: toy.Outside, nats_server: NatsServer, connection: Client) -> Start:
    """Starts a worker for a service on the toy's tables."""
    settings = Settings(database_url=counters.owner_url, nats_url=nats_server.url)
    return lambda service: running(service, settings, provide=lambda _: [outside])


async def request(connection: Client, name: str, body: Any) -> dict[str, Any]:
    """The answer to a request to the toy."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer: dict[str, Any] = json.loads(
        (await connection.request(f"billing.requests.toy.{name}", data, timeout=5)).data
    )
    return answer


async def test_a_request_is_answered_after_its_commit_and_its_event_is_on_the_feed(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        feed = await connection.jetstream().subscribe("billing.change_feed.>", ordered_consumer=True)
        answer = await request(connection, "increment", {"command_id": "a", "counter": "x", "by": 2})
        assert answer["result"] == {"counter_id": "x", "value": 2}
        event = await feed.next_msg(timeout=5)
        assert json.loads(event.data)["counter"] == {"counter_id": "x", "value": 2}
        assert (await request(connection, "get_counter", {"counter": "x"}))["result"]["value"] == 2
        refused = await request(connection, "increment", b"nonsense")
        assert refused["error"]["code"] == "invalid_message"


async def test_a_trace_goes_on_from_the_request_to_the_event_it_caused(
    start: Start, connection: Client
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    async with start(toy.service):
        feed = await connection.jetstream().subscribe("billing.change_feed.>", ordered_consumer=True)
        body = b'{"command_id": "a", "counter": "x"}'
        await connection.request("billing.requests.toy.increment", body, headers=headers, timeout=5)
        event = await feed.next_msg(timeout=5)
        assert trace_id in (event.headers or {})["traceparent"]


def traced(number: int) -> dict[str, str]:
    """The headers of a message that belongs to a trace with this number."""
    return {"traceparent": f"00-{number:032x}-00f067aa0ba902b7-01"}


async def test_of_commands_handled_together_each_has_its_own_trace_and_cause(
    start: Start, connection: Client
) -> None:
    """The first is handled alone, and has the others wait until all of them are there."""
    service = Service("toy", metadata=toy.Row.metadata)
    groups: list[list[str]] = []
    go_on = asyncio.Event()

    @service.command(toy.Increment, together=True)
    async def increment(work: Work, commands: Sequence[toy.Increment]) -> list[toy.CounterSnapshot]:
        groups.append([command.command_id for command in commands])
        await go_on.wait()
        snapshots = [toy.CounterSnapshot(counter_id=each.counter, value=each.by) for each in commands]
        for command, counter in zip(commands, snapshots, strict=True):
            cause = command.command_id
            work.tell(
                toy.CounterEvent, "moved", customer=toy.ACME, version=1, counter=counter, caused_by=cause
            )
        return snapshots

    async with start(service) as (worker, _):
        feed = await connection.jetstream().subscribe("billing.change_feed.>", ordered_consumer=True)

        async def waiting(number: int) -> bool:
            return bool(groups) and worker.runtime.dispatcher.groups["increment"].waiting == number

        wishes = {"first": traced(1), "second": traced(2), "third": None, "fourth": traced(4)}
        for number, (name, headers) in enumerate(wishes.items()):
            body = json.dumps({"command_id": name, "counter": name}).encode()
            await connection.publish("billing.requests.toy.increment", body, headers=headers)
            await eventually(partial(waiting, number))
        queued = json.dumps({"command_id": "queued", "counter": "queued"}).encode()
        await connection.jetstream().publish("billing.commands.toy.increment", queued, headers=traced(5))
        await eventually(lambda: waiting(4))
        go_on.set()
        events = [await feed.next_msg(timeout=5) for _ in range(5)]
    assert groups == [["first"], ["second", "third", "fourth", "queued"]]
    found = {
        json.loads(event.data)["caused_by"]: (event.headers or {}).get("traceparent", "") for event in events
    }
    traces = {cause: int(trace[3:35], 16) if trace else None for cause, trace in found.items()}
    assert traces == {"first": 1, "second": 2, "third": None, "fourth": 4, "queued": 5}


async def test_a_queued_command_is_the_same_command_and_its_outcome_goes_where_it_asks(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        replies = await connection.subscribe("_INBOX.mine")
        body = json.dumps({"command_id": "a", "counter": "x"}).encode()
        jetstream = connection.jetstream()
        headers = {"Billing-Reply-To": "_INBOX.mine"}
        await jetstream.publish("billing.commands.toy.increment", body, headers=headers)
        queued = json.loads((await replies.next_msg(timeout=5)).data)
        assert queued == await request(connection, "increment", body)

        async def queue_is_empty() -> bool:
            return (await jetstream.stream_info("BILLING_COMMANDS")).state.messages == 0

        await eventually(queue_is_empty)


async def test_an_answer_too_large_for_a_message_is_refused_at_once(start: Start, connection: Client) -> None:
    service = Service("toy", metadata=toy.Row.metadata)

    @service.question(toy.GetCounter)
    async def get_counter(work: Work, question: toy.GetCounter) -> toy.CounterSnapshot:
        return toy.CounterSnapshot(counter_id="x" * (connection.max_payload + 1), value=0)

    async with start(service):
        refused = await request(connection, "get_counter", {"counter": "x"})
        assert (refused["status"], refused["error"]["code"]) == ("rejected", "invalid_message")


async def test_nobody_has_an_outcome_published_where_only_the_service_may_publish(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        elsewhere = await connection.subscribe("somewhere.else")
        replies = await connection.subscribe("_INBOX.mine")
        for name, subject in (("a", "somewhere.else"), ("b", "_INBOX.mine")):
            body = json.dumps({"command_id": name, "counter": "x"}).encode()
            headers = {"Billing-Reply-To": subject}
            await connection.jetstream().publish("billing.commands.toy.increment", body, headers=headers)
            await eventually(partial(_is_acknowledged, connection))
        assert json.loads((await replies.next_msg(timeout=5)).data)["command_id"] == "b"
        assert elsewhere.pending_msgs == 0


async def _is_acknowledged(connection: Client) -> bool:
    return (await connection.jetstream().stream_info("BILLING_COMMANDS")).state.messages == 0


@pytest.mark.parametrize("subject", ["_INBOX.two words", "_INBOX", "_INBOX.", "_INBOX..", "_INBOX.*", ""])
async def test_an_outcome_that_cannot_be_sent_where_it_is_wanted_changes_nothing_else(
    start: Start, connection: Client, subject: str
) -> None:
    async with start(toy.service):
        jetstream = connection.jetstream()
        body = json.dumps({"command_id": "a", "counter": "x"}).encode()
        headers = {"Billing-Reply-To": subject}
        await jetstream.publish("billing.commands.toy.increment", body, headers=headers)

        async def queue_is_empty() -> bool:
            return (await jetstream.stream_info("BILLING_COMMANDS")).state.messages == 0

        await eventually(queue_is_empty)
        assert (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 0
        assert (await request(connection, "get_counter", {"counter": "x"}))["result"]["value"] == 1


async def test_a_queued_body_that_is_no_command_becomes_a_dead_letter_at_once(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        jetstream = connection.jetstream()
        await jetstream.publish("billing.commands.toy.increment", b"nonsense", headers={"Mine": "kept"})
        await jetstream.publish("billing.commands.toy.no_such_thing", b"{}")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        letter = await jetstream.get_last_msg("BILLING_DEAD_LETTERS", "billing.dead_letters.toy.increment")
        headers = dict(letter.headers or {})
        assert letter.data == b"nonsense"
        assert headers["Billing-Origin-Subject"] == "billing.commands.toy.increment"
        assert headers["Billing-Origin-Stream"] == "BILLING_COMMANDS"
        assert "invalid_message" in headers["Billing-Error"]
        assert headers["Mine"] == "kept"

        async def all_acknowledged() -> bool:
            info = await jetstream.consumer_info("BILLING_COMMANDS", "toy-commands")
            return (info.num_pending, info.num_ack_pending) == (0, 0)

        await eventually(all_acknowledged)


async def test_commands_of_a_batch_become_dead_letters_like_any_others(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        subject, batch = "billing.commands.toy.increment", {"Nats-Batch-Id": "one", "Mine": "kept"}
        await connection.publish(subject, b"nonsense", headers={**batch, "Nats-Batch-Sequence": "1"})
        last = {**batch, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
        await connection.request(subject, b"more of it", headers=last, timeout=5)
        jetstream = connection.jetstream()

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        letter = await jetstream.get_msg("BILLING_DEAD_LETTERS", 1)
        assert (letter.headers or {})["Mine"] == "kept"


async def test_a_tick_of_a_schedule_becomes_a_dead_letter_like_any_other(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERIES_MAX", 1)
    service = Service("toy", metadata=toy.Row.metadata)

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        raise ValueError("no good")

    async with start(service):
        jetstream = connection.jetstream()
        headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "billing.ticks.toy.tidy"}
        await jetstream.publish("billing.schedules.toy.tidy", b"{}", headers=headers)

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages > 0

        await eventually(buried)


async def test_a_failing_message_is_retried_with_pauses_then_buried_and_its_neighbours_pass(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_DELAYS_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(delivery, "DELIVERIES_MAX", 3)
    tries: list[tuple[str, int]] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        tries.append((incoming.subject, incoming.attempt))
        if incoming.subject == "things.bad":
            raise ValueError("no good")
        if incoming.subject == "things.hopeless":
            raise Undeliverable("never")

    async with start(service):
        jetstream = connection.jetstream()
        for subject in ("things.bad", "things.good", "things.hopeless"):
            await jetstream.publish(subject, b"body")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        assert sorted(tries) == [
            ("things.bad", 1),
            ("things.bad", 2),
            ("things.bad", 3),
            ("things.good", 1),
            ("things.hopeless", 1),
        ]
        letter = await jetstream.get_last_msg("BILLING_DEAD_LETTERS", "billing.dead_letters.toy.take_thing")
        assert dict(letter.headers or {})["Billing-Origin-Subject"] == "things.bad"


async def test_who_waits_for_somebody_outside_is_tried_for_longer_but_not_for_ever(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_DELAYS_SECONDS", (0.05,))
    monkeypatch.setattr(delivery, "DELIVERIES_MAX", 2)
    monkeypatch.setattr(delivery, "DELIVERIES_WITHOUT_END_MAX", 4)
    tries: list[int] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        tries.append(incoming.attempt)
        raise Unavailable("somebody outside is away")

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("things.any", b"body")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 1

        await eventually(buried)
    assert tries == [1, 2, 3, 4]


async def test_what_takes_longer_than_the_server_waits_is_not_given_to_somebody_else(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PROGRESS_SECONDS", 0.1)
    ack_wait_seconds = 0.5
    await connection.jetstream().add_consumer(
        "THINGS",
        ConsumerConfig(
            durable_name="toy-things",
            filter_subjects=["things.>"],
            max_deliver=-1,
            ack_wait=ack_wait_seconds,
        ),
    )
    begun, go_on = asyncio.Event(), asyncio.Event()
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        begun.set()
        await go_on.wait()

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("things.any", b"body")
        await begun.wait()
        somebody_else = await jetstream.pull_subscribe_bind("toy-things", "THINGS")
        with pytest.raises(NatsTimeout):
            await somebody_else.fetch(1, timeout=4 * ack_wait_seconds)
        go_on.set()


async def test_a_worker_tends_its_partitions_and_closes_what_it_was_provided_with(
    counters: Bound, nats_server: NatsServer, connection: Client
) -> None:
    await counters.execute("CREATE TABLE toy.tended (at timestamptz)")
    await counters.execute(
        """CREATE OR REPLACE FUNCTION toy.tend_partitions() RETURNS text LANGUAGE sql
           AS 'INSERT INTO toy.tended VALUES (now()); SELECT NULL::text'"""
    )

    class Line:
        closed = False

        async def close(self) -> None:
            self.closed = True

    line = Line()
    settings = Settings(database_url=counters.owner_url, nats_url=nats_server.url)
    async with running(toy.service, settings, provide=lambda _: [toy.Outside(), line]):
        await eventually(partial(counters.rows, "SELECT * FROM toy.tended"))
        assert not line.closed
    assert line.closed


async def test_a_tick_carries_its_time_or_that_of_its_publication(start: Start, connection: Client) -> None:
    moments: list[datetime] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        moments.append(at)

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("billing.ticks.toy.tidy", b'{"at": "2026-02-01T00:05:00Z"}')
        await eventually(lambda: moments == [datetime(2026, 2, 1, 0, 5, tzinfo=UTC)])
        before = datetime.now(UTC)
        await jetstream.publish("billing.ticks.toy.tidy", b"{}")
        await eventually(lambda: len(moments) == 2)
        assert abs((moments[1] - before).total_seconds()) < 5


async def test_a_schedule_of_jetstream_ticks_without_us(connection: Client) -> None:
    jetstream = connection.jetstream()
    headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "billing.ticks.toy.tidy"}
    await jetstream.publish("billing.schedules.toy.tidy", b"{}", headers=headers)

    async def ticked() -> bool:
        return ((await jetstream.consumer_info("BILLING_TICKS", "toy-ticks")).num_pending or 0) >= 2

    await eventually(ticked)


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
        await connection.jetstream().add_consumer(
            "BILLING_COMMANDS",
            ConsumerConfig(durable_name="toy-commands", filter_subjects=["billing.commands.toy.>"]),
        )
        await eventually(lambda: is_ready(http))
        await _end_connections_for_good(counters.owner_url)
        answer = await http.get("/ready")
        assert "database" in answer.json()["problems"]
        assert (await http.get("/live")).status_code == 200


async def test_a_worker_that_no_request_reaches_is_not_ready(start: Start) -> None:
    async with start(toy.service) as (worker, http):
        await worker.requests.connection.close()
        answer = await http.get("/ready")
        assert (answer.status_code, answer.json()["problems"]) == (503, {"nats": "brings no requests"})


async def test_whatever_is_handled_is_counted_and_timed_by_what_became_of_it(
    start: Start, connection: Client, outside: toy.Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERIES_MAX", 2)
    service = Service("toy", metadata=toy.Row.metadata)
    service.command(toy.Increment)(toy.increment)
    service.external_command(toy.Charge)(toy.charge)
    service.question(toy.GetCounter)(toy.get_counter)

    @service.command(toy.Fill, together=True)
    async def fill(work: Work, commands: Sequence[toy.Fill]) -> list[Rejected]:
        return [Rejected("too_much", "No more.") for _ in commands]

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        raise ValueError("no good")

    @service.event(toy.CounterEvent)
    async def note_counter(work: Work, event: toy.CounterEvent) -> None:
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
    """What the worker's metrics say of the toy: by handler and outcome, and how many were timed."""
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


async def test_a_call_outside_that_a_crash_cut_off_is_finished_by_the_sweep(
    start: Start, connection: Client, outside: toy.Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "EXTERNAL_SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(worker_module, "EXTERNAL_UNFINISHED_AFTER_SECONDS", 0)
    outside.away = True
    async with start(toy.service) as (_, http):

        async def unfinished(count: int) -> bool:
            return f'external_unfinished{{service="toy"}} {count}.0' in (await http.get("/metrics")).text

        assert (await request(connection, "charge", {"command_id": "a", "counter": "x"}))[
            "status"
        ] == "failed"
        await eventually(partial(unfinished, 1))
        outside.away = False

        async def charged() -> bool:
            answer = await request(connection, "get_counter", {"counter": "x"})
            return bool(answer["status"] == "succeeded" and answer["result"]["value"] == 1)

        await eventually(charged)
        await eventually(partial(unfinished, 0))


async def test_a_message_waits_out_an_outage_of_the_database_without_losing_a_delivery(
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


async def test_how_long_committed_messages_wait_is_told_by_a_worker_that_does_not_publish(
    start: Start, counters: Bound
) -> None:
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


async def test_a_worker_started_before_its_consumers_waits_for_them(
    counters: Bound, outside: toy.Outside, nats_server: NatsServer, connection: Client
) -> None:
    await connection.jetstream().delete_stream("BILLING_COMMANDS")
    settings = Settings(database_url=counters.owner_url, nats_url=nats_server.url)
    async with running(toy.service, settings, provide=lambda _: [outside], ready=False) as (_, http):
        answer: httpx.Response = await eventually(lambda: _not_ready(http))
        assert "worker" in answer.json()["problems"]
        await apply_layout(
            connection, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
        )
        await connection.jetstream().add_consumer(
            "BILLING_COMMANDS",
            ConsumerConfig(durable_name="toy-commands", filter_subjects=["billing.commands.toy.>"]),
        )
        await eventually(lambda: is_ready(http))
        answer_to = await request(connection, "increment", {"command_id": "a", "counter": "x"})
        assert answer_to["status"] == "succeeded"


async def _not_ready(http: httpx.AsyncClient) -> httpx.Response | None:
    answer = await http.get("/ready")
    return answer if answer.status_code == 503 else None


async def test_commands_that_wait_for_somebody_outside_are_bounded_and_keep_no_question_waiting(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "REQUESTS_AT_ONCE", 2)
    service = Service("toy", metadata=toy.Row.metadata)
    service.question(toy.GetCounter)(toy.get_counter)
    waiting: list[str] = []
    go_on = asyncio.Event()

    @service.external_command(toy.Charge)
    async def charge(steps: Steps, command: toy.Charge) -> toy.CounterSnapshot:
        waiting.append(command.command_id)
        await go_on.wait()
        return toy.CounterSnapshot(counter_id="x", value=1)

    async with start(service):
        bodies = [{"command_id": f"a{number}", "counter": "x"} for number in range(5)]
        asking = [asyncio.create_task(request(connection, "charge", body)) for body in bodies]
        await eventually(lambda: len(waiting) == 2)
        answer = await request(connection, "get_counter", {"counter": "x"})
        assert (answer["error"]["code"], len(waiting)) == ("not_found", 2)
        go_on.set()
        assert {(await asked)["status"] for asked in asking} == {"succeeded"}


async def test_requests_in_flight_are_answered_when_a_worker_stops(start: Start, connection: Client) -> None:
    async with start(toy.service):
        bodies = [{"command_id": f"a{number}", "counter": "x"} for number in range(100)]
        asking = [asyncio.create_task(request(connection, "increment", body)) for body in bodies]
        await eventually(lambda: any(task.done() for task in asking))
    answered = [task for task in asking if task.done() and not task.exception()]
    assert answered
    assert {task.result()["status"] for task in answered} == {"succeeded"}
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
