"""Messages around every size limit, on every way in: none stops a worker or delays the next one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.errors import MaxPayloadError
from nats.js.errors import APIError

from shared.messaging.dead_letters import dead_letter
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.messaging.service import Service
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from shared.runtime.worker import Worker
from shared.settings import Settings
from shared.tuning import DEAD_LETTER_HEADERS_MAX_BYTES, MESSAGE_MAX_BYTES, PAYLOAD_MAX_BYTES
from tallystick.client.dead_letters import DROPPED_HEADERS_HEADER, TRUNCATED_HEADER
from tallystick.message_size import message_size
from tests.support.toy import service as toy
from tests.support.toy.worker import Start, request
from tests.support.waiting import eventually

MAX_PAYLOAD = 1_048_576
COMMANDS_MAX = 1_010_000
TICKS_MAX = 16_384
THINGS_MAX = MAX_PAYLOAD
"""The stream of the test's own, as large as NATS has it: what a stream of another team's might be."""
FACTORS = (0.9, 0.99, 1.0, 1.01, 1.1)


def sizes(*limits: int) -> list[int]:
    """Return sizes from 0.9 to 1.1 times each limit and the sizes next to it."""
    around = {int(limit * factor) for limit in limits for factor in FACTORS}
    return sorted(around | {limit + beside for limit in limits for beside in (-1, 1)})


def headers_of(size: int) -> dict[str, str]:
    """Return a few headers that take this many bytes together."""
    return {f"Large-{number}": "x" * (size // 4) for number in range(4)} if size else {}


async def send(connection: Client, subject: str, size: int, headers_size: int) -> bool:
    """Queue a message of that size, headers included; False where the stream or the client refuses it."""
    headers = headers_of(headers_size)
    body = b"x" * max(0, size - message_size(b"", headers))
    if message_size(body, headers) > MAX_PAYLOAD:
        return False  # the server closes the connection of who sends that
    try:
        await connection.jetstream().publish(subject, body, headers=headers or None, timeout=5)
    except (APIError, MaxPayloadError):
        return False
    return True


async def is_well(http: httpx.AsyncClient, connection: Client, command_id: str) -> None:
    """Check that the worker is ready and handles the next command on both ways in."""
    assert (await http.get("/live")).status_code == 200
    assert (await http.get("/ready")).json()["problems"] == {}
    body = {"command_id": command_id, "counter": command_id}
    assert (await request(connection, "increment", body))["status"] == "succeeded"
    inbox = connection.new_inbox()
    outcomes = await connection.subscribe(inbox)
    queued = json.dumps({"command_id": f"{command_id}-queued", "counter": command_id}).encode()
    await connection.jetstream().publish(
        "billing.commands.toy.increment", queued, headers={"Billing-Reply-To": inbox}
    )
    assert json.loads((await outcomes.next_msg(timeout=10)).data)["status"] == "succeeded"


async def dead_letters(connection: Client) -> int:
    """How many there are."""
    return int((await connection.jetstream().stream_info("BILLING_DEAD_LETTERS")).state.messages)


def follower(handled: list[int]) -> Service:
    """The toy with a consumer that fails on every message."""
    service = Service("toy", metadata=toy.Row.metadata)
    service.command(toy.Increment)(toy.increment)

    @service.follow("toy-things", stream="THINGS", name="take_thing")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        handled.append(len(incoming.body))
        raise Undeliverable("x" * 5_000)

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: Any) -> None:
        raise AssertionError("no tick of this test can be read")

    return service


@pytest.mark.timeout(180)
@pytest.mark.parametrize("headers_size", [0, DEAD_LETTER_HEADERS_MAX_BYTES, 200_000])
@pytest.mark.parametrize(
    ("subject", "limits"),
    [
        ("billing.commands.toy.increment", (PAYLOAD_MAX_BYTES, COMMANDS_MAX, MAX_PAYLOAD)),
        ("billing.commands.toy.no_such_command", (COMMANDS_MAX,)),
        ("billing.ticks.toy.tidy", (TICKS_MAX,)),
        ("things.large", (MESSAGE_MAX_BYTES, THINGS_MAX)),
    ],
)
async def test_messages_of_every_size_are_buried_and_the_next_handled(
    start: Start, connection: Client, subject: str, limits: tuple[int, ...], headers_size: int
) -> None:
    service = follower([])
    sent = 0
    for size in sizes(*limits):
        if size > message_size(b"", headers_of(headers_size)):
            sent += await send(connection, subject, size, headers_size)

    async def all_are_buried() -> bool:
        return await dead_letters(connection) == sent

    async with start(service) as (_, http):
        await eventually(all_are_buried, within_seconds=60)
        await is_well(http, connection, "first")
    async with start(service) as (_, http):
        await is_well(http, connection, "after a restart")
    assert await dead_letters(connection) == sent


@pytest.mark.timeout(120)
async def test_a_request_of_any_size_is_answered(start: Start, connection: Client) -> None:
    async with start(toy.service) as (_, http):
        for size in sizes(PAYLOAD_MAX_BYTES, MAX_PAYLOAD):
            if size > MAX_PAYLOAD:
                continue
            answer = await request(connection, "increment", b"x" * size)
            assert answer["error"]["code"] == "invalid_message"
        await is_well(http, connection, "after all of them")


@pytest.mark.timeout(120)
async def test_an_answer_that_fits_no_message_is_answered_all_the_same(
    start: Start, connection: Client
) -> None:
    service = Service("toy", metadata=toy.Row.metadata)
    service.command(toy.Increment)(toy.increment)

    @service.question(toy.GetCounter)
    async def get_counter(work: UnitOfWork, question: toy.GetCounter) -> toy.CounterSnapshot:
        return toy.CounterSnapshot(counter_id="x" * int(question.counter), value=1)

    async with start(service) as (_, http):
        for size in sizes(MAX_PAYLOAD):
            answer = await request(connection, "get_counter", {"counter": str(size)})
            if size < MAX_PAYLOAD - 100:
                assert answer["status"] == "succeeded", size
            else:
                assert answer["error"]["code"] == "invalid_message", size
        await is_well(http, connection, "after them")


async def test_a_connection_that_the_server_closes_is_opened_again(start: Start, connection: Client) -> None:
    async with start(toy.service) as (worker, http):
        first = connection_of(worker)
        assert first._transport is not None
        first._transport.write(b"NO SUCH OPERATION\r\n")  # an answer comes, and then the end

        async def is_back() -> bool:
            problems = (await http.get("/ready")).json()["problems"]
            return connection_of(worker) is not first and not problems

        await eventually(is_back)
        await is_well(http, connection, "after it")


async def test_a_worker_that_sends_too_much_comes_back(start: Start, connection: Client) -> None:
    """The server closes the connection, or resets it while the message is still on its way."""
    async with start(toy.service) as (worker, http):
        first = connection_of(worker)
        large = {"Large": "x" * 2_000}
        await first.publish("billing.dead_letters.toy.too_large", b"x" * (MAX_PAYLOAD - 100), headers=large)

        async def is_back() -> bool:
            problems = (await http.get("/ready")).json()["problems"]
            is_another = connection_of(worker) is not first or first.stats["reconnects"] > 0
            return is_another and not problems

        await eventually(is_back)
        await is_well(http, connection, "after it")


def connection_of(worker: Worker[Settings]) -> Client:
    """The connection over which the worker consumes."""
    connection: Client = worker.consumers.broker.config.connection_state.connection
    return connection


def incoming(body: bytes, headers: dict[str, str]) -> Incoming:
    """A message as it came from a stream."""
    return Incoming("billing.commands.toy.big", headers, body, 1, datetime(2026, 1, 1, tzinfo=UTC), "S")


@pytest.mark.parametrize("make_headers", [dict, lambda: {"RetentionPolicy": "x" * 30_000}])
@pytest.mark.parametrize("size", sizes(MESSAGE_MAX_BYTES, MAX_PAYLOAD))
def test_a_dead_letter_is_never_larger_than_a_message_may_be(
    size: int, make_headers: Callable[[], dict[str, str]]
) -> None:
    headers, body = dead_letter(incoming(b"x" * size, make_headers()), "toy", "big", "x" * 1_000)
    assert message_size(body, headers) <= MESSAGE_MAX_BYTES
    if len(body) == size:
        assert TRUNCATED_HEADER not in headers
    else:
        assert headers[TRUNCATED_HEADER] == str(size)
        assert message_size(body, headers) == MESSAGE_MAX_BYTES


def test_headers_that_do_not_fit_a_dead_letter_are_counted() -> None:
    too_large = "x" * DEAD_LETTER_HEADERS_MAX_BYTES
    given = {"RetentionPolicy": "x", "Too-Large": too_large, "no header": "x", "Small": "y"}
    headers, body = dead_letter(incoming(b"body", given), "toy", "big", "an error")
    assert (headers["RetentionPolicy"], headers["Small"], body) == ("x", "y", b"body")
    assert headers[DROPPED_HEADERS_HEADER] == "2"
    assert not {"Too-Large", "no header"} & headers.keys()
