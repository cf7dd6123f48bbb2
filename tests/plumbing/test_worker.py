"""A worker with a real NATS: requests, queued commands, traces and shutdown."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial

import httpx
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from shared.messaging import request_server
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import Service
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.persistence.unit_of_work import UnitOfWork
from shared.runtime import worker as worker_module
from shared.settings import Settings
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy import service as toy
from tests.support.toy.worker import Start, request
from tests.support.waiting import eventually
from tests.support.workers import is_ready, running


async def test_a_request_is_answered_after_its_commit(start: Start, connection: Client) -> None:
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


async def test_batched_commands_keep_their_own_trace_and_cause(start: Start, connection: Client) -> None:
    """The first command is handled alone and holds the others until all of them have arrived."""
    service = Service("toy", metadata=toy.Row.metadata)
    groups: list[list[str]] = []
    go_on = asyncio.Event()

    @service.command(toy.Increment, together=True)
    async def increment(work: UnitOfWork, commands: Sequence[toy.Increment]) -> list[toy.CounterSnapshot]:
        groups.append([command.command_id for command in commands])
        await go_on.wait()
        snapshots = [toy.CounterSnapshot(counter_id=each.counter, value=each.by) for each in commands]
        for command, counter in zip(commands, snapshots, strict=True):
            cause = command.command_id
            work.emit(
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


async def test_a_queued_command_sends_its_outcome_where_asked(start: Start, connection: Client) -> None:
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
    async def get_counter(work: UnitOfWork, question: toy.GetCounter) -> toy.CounterSnapshot:
        return toy.CounterSnapshot(counter_id="x" * (connection.max_payload + 1), value=0)

    async with start(service):
        refused = await request(connection, "get_counter", {"counter": "x"})
        assert (refused["status"], refused["error"]["code"]) == ("rejected", "invalid_message")


async def test_an_outcome_never_goes_to_a_service_owned_subject(start: Start, connection: Client) -> None:
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
async def test_an_undeliverable_outcome_changes_nothing_else(
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


async def test_a_worker_maintains_partitions_and_closes_resources(
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


async def test_the_sweep_finishes_an_external_call_cut_off_by_a_crash(
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


async def test_waiting_external_commands_do_not_delay_questions(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_server, "REQUESTS_AT_ONCE", 2)
    service = Service("toy", metadata=toy.Row.metadata)
    service.question(toy.GetCounter)(toy.get_counter)
    waiting: list[str] = []
    go_on = asyncio.Event()

    @service.external_command(toy.Charge)
    async def charge(steps: ExternalCommandSteps, command: toy.Charge) -> toy.CounterSnapshot:
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
