"""The relay: every committed message reaches the stream once, in order for each entity."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import nats
import psycopg
import pytest
from nats.aio.client import Client

from shared.messaging import relay as relay_module
from shared.messaging.jetstream_batch import Message, publish_all
from shared.messaging.relay import SETTINGS, Relay
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.tuning import DATABASE_CONNECTIONS, MESSAGE_MAX_BYTES
from tallystick.tasks import end
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy.service import Increment
from tests.support.waiting import eventually

FEED = "BILLING_CHANGE_FEED"


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection to a NATS with all streams, empty."""
    client = await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")
    await apply_layout(client, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks"))
    yield client
    await client.close()


@pytest.fixture
async def relay(counters: Bound, nats_server: NatsServer) -> Relay:
    """The toy's relay, not running."""

    async def connect() -> Client:
        return await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")

    return Relay(schema="toy", database_url=counters.owner_url, connect_nats=connect)


@pytest.fixture
async def publish(counters: Bound, relay: Relay, connection: Client) -> AsyncIterator[Callable[[], Any]]:
    """Publishes one window of what is due; returns how many rows that were."""
    database = await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True)
    await database.execute(SETTINGS)
    yield lambda: relay.publish_due(database, connection)
    await database.close()


async def messages(connection: Client) -> list[tuple[str, dict[str, Any]]]:
    """All of the feed: (subject, body)."""
    jetstream = connection.jetstream()
    info = await jetstream.stream_info(FEED)
    found = [
        await jetstream.get_msg(FEED, seq) for seq in range(info.state.first_seq, info.state.last_seq + 1)
    ]
    return [(message.subject or "", json.loads(message.data or b"")) for message in found]


async def versions(connection: Client, counter: str) -> list[int]:
    """Return the versions of one counter in the order of the feed."""
    return [
        body["version"] for _, body in await messages(connection) if body["counter"]["counter_id"] == counter
    ]


async def test_publishes_what_is_committed_with_cloudevents_headers(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    await counters.handle(Increment(command_id="a", counter="x"))
    assert await publish() == 1
    assert await publish() == 0
    message = await connection.jetstream().get_last_msg(
        FEED, "billing.change_feed.counter.organization_acme.movedV1"
    )
    event = json.loads(message.data or b"")
    headers = dict(message.headers or {})
    assert headers["Nats-Msg-Id"] == headers["ce-id"] == event["event_id"]
    assert headers["ce-type"] == "billing.counter.movedV1"
    assert headers["ce-source"] == "/billing/toy"
    assert headers["ce-subject"] == "organization_acme"
    assert headers["ce-time"] == event["occurred_at"] == "2026-01-15T12:00:00Z"
    assert headers["ce-specversion"] == "1.0"
    assert headers["content-type"] == "application/json"


async def test_a_late_commit_is_neither_lost_nor_overtaken(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    slow = await psycopg.AsyncConnection.connect(counters.owner_url)
    await slow.execute("SELECT pg_current_xact_id()")  # an older transaction, still running
    for number in range(3):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))
    assert await publish() == 3, "a transaction that takes its time holds nobody up"
    await slow.execute(
        """INSERT INTO toy.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
           VALUES ('late', 'BILLING_CHANGE_FEED', 'billing.change_feed.counter.user_1.movedV1', '{}',
                   '{"counter": {"counter_id": "late"}, "version": 1}', 'test', now())"""
    )
    await slow.commit()
    await slow.close()
    await eventually(publish)
    assert await versions(connection, "x") == [1, 2, 3]
    assert await versions(connection, "late") == [1]


async def test_an_older_transaction_id_does_not_overtake_a_change(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    second = await psycopg.AsyncConnection.connect(counters.owner_url)
    await second.execute("SELECT pg_current_xact_id()")
    between = await psycopg.AsyncConnection.connect(counters.owner_url)
    await between.execute("SELECT pg_current_xact_id()")  # runs on: whoever waits for it sees only `second`
    await counters.handle(Increment(command_id="first", counter="x"))
    await second.execute(
        """INSERT INTO toy.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
           VALUES ('second', 'BILLING_CHANGE_FEED', 'billing.change_feed.counter.user_1.movedV1', '{}',
                   '{"counter": {"counter_id": "x"}, "version": 2}', 'test', now())"""
    )
    await second.commit()
    assert await publish() == 2
    assert await versions(connection, "x") == [1, 2]
    await between.close()
    await second.close()


async def test_rows_published_twice_are_in_the_stream_once(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    for number in range(5):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))
    before = await counters.rows("SELECT published::text AS published FROM toy.relay_position")
    await publish()
    async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as owner:
        # As after a crash between publishing and remembering how far it went.
        await owner.execute(
            "UPDATE toy.relay_position SET published = %s::pg_snapshot", (before[0]["published"],)
        )
    await counters.handle(Increment(command_id="more", counter="x"))
    await publish()
    assert await versions(connection, "x") == [1, 2, 3, 4, 5, 6]


async def test_the_largest_message_that_the_outbox_takes_is_published(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    body = '{"counter": {"counter_id": "large"}, "version": %s}'
    size = MESSAGE_MAX_BYTES - 10_100  # what the headers leave of it
    for version in (1, 2):
        await counters.execute(
            f"""INSERT INTO toy.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
                VALUES ('m{version}', 'BILLING_CHANGE_FEED', 'billing.change_feed.counter.user_1.movedV1',
                        '{{"mine": "{"x" * 10_000}"}}',
                        convert_to(rpad('{body % version}', {size}), 'UTF8'), 'test', now())"""
        )
    assert await publish() == 2
    assert await versions(connection, "large") == [1, 2]


async def test_a_window_larger_than_memory_allows_goes_in_parts(
    counters: Bound, connection: Client, publish: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "RELAY_WINDOW_ROWS", 4)
    for number in range(10):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))
    parts = [await publish() for _ in range(4)]
    assert parts == [4, 4, 2, 0]
    await counters.handle(Increment(command_id="later", counter="x"))
    assert await publish() == 1
    assert await versions(connection, "x") == list(range(1, 12))


async def test_a_new_leader_finishes_a_partly_published_window(
    counters: Bound,
    connection: Client,
    relay: Relay,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "RELAY_WINDOW_ROWS", 4)

    async def leads_until(versions_there: int) -> None:
        leading = asyncio.create_task(relay.run())

        async def are_there() -> bool:
            return await versions(connection, "x") == list(range(1, versions_there + 1))

        try:
            await eventually(are_there)
        finally:
            await end(leading)

    await counters.handle(Increment(command_id="first", counter="x"))
    await leads_until(1)
    for number in range(10):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))

    async def connect() -> Client:
        return await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")

    other = Relay(schema="toy", database_url=counters.owner_url, connect_nats=connect)
    async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as database:
        assert await other.publish_due(database, connection) == 4
    await leads_until(11)


async def test_two_relays_and_many_writers_lose_nothing(
    counters: Bound, connection: Client, relay: Relay, nats_server: NatsServer
) -> None:
    async def connect() -> Client:
        return await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")

    other = Relay(schema="toy", database_url=counters.owner_url, connect_nats=connect)
    running = [asyncio.create_task(one.run()) for one in (relay, other)]

    async def write(first: int) -> None:
        for n in range(first, 200, DATABASE_CONNECTIONS):
            outcome = await counters.handle(Increment(command_id=f"a{n}", counter=f"c{n % 4}"))
            assert outcome.status == "succeeded"

    try:
        await asyncio.gather(*(write(first) for first in range(DATABASE_CONNECTIONS)))

        async def all_there() -> bool:
            return (await connection.jetstream().stream_info(FEED)).state.messages == 200

        await eventually(all_there)
    finally:
        await end(*running)
    for counter in range(4):
        assert await versions(connection, f"c{counter}") == list(range(1, 51))


async def test_a_replay_during_publishing_starts_with_that_window(
    counters: Bound, connection: Client, publish: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))
    await publish()
    await counters.handle(Increment(command_id="b", counter="x"))

    async def replay_begins(connection: Client, messages: Sequence[Message]) -> None:
        await publish_all(connection, messages)
        async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as owner:
            await relay_module.start_over(owner, "toy")

    with monkeypatch.context() as during:
        during.setattr(relay_module, "publish_all", replay_begins)
        assert await publish() == 1
    assert await publish() == 4


async def test_a_replay_brings_back_a_lost_stream(
    counters: Bound, connection: Client, publish: Callable[[], Any]
) -> None:
    for number in range(3):
        await counters.handle(Increment(command_id=f"a{number}", counter="x"))
    await publish()
    before = await messages(connection)
    jetstream = connection.jetstream()
    await jetstream.delete_stream(FEED)
    await apply_layout(
        connection, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
    )
    async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as owner:
        await relay_module.start_over(owner, "toy")
    assert await publish() == 3
    assert await messages(connection) == before
