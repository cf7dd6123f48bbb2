"""A dump restored into another cluster with lower transaction ids: no event is lost or repeated."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import psycopg
import pytest
from nats.aio.client import Client

from shared.messaging import relay as relay_module
from shared.messaging.relay import SETTINGS, PositionAhead, Relay
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.operations.restore_repair import is_outbox_ahead, renumber_after_restore
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy.service import Increment

FEED = "BILLING_CHANGE_FEED"
ELSEWHERE = 1_000_000_000
"""How much further the transaction ids of the cluster had come in which the dump was made."""

Publish = Callable[[], Any]


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection to a NATS with all streams, empty."""
    client = await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")
    await apply_layout(client, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks"))
    yield client
    await client.close()


@pytest.fixture
async def publish(counters: Bound, connection: Client) -> AsyncIterator[Publish]:
    """Publishes one window of what is due; returns how many rows that were."""

    async def never() -> Client:
        raise AssertionError

    relay = Relay(schema="toy", database_url=counters.owner_url, connect_nats=never)
    database = await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True)
    await database.execute(SETTINGS)
    yield lambda: relay.publish_due(database, connection)
    await database.close()


def restore_elsewhere(owner_url: str) -> None:
    """Leave the tables as after a restore into a cluster with lower transaction ids."""
    limit = "(pg_snapshot_xmax({0})::text::bigint + %(n)s)::text"
    moved = f"({limit} || ':' || {limit} || ':')::pg_snapshot"
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE toy.outbox SET xid = (xid::text::bigint + %s)::text::xid8", (ELSEWHERE,))
        owner.execute(
            f"UPDATE toy.relay_position SET published = {moved.format('published')},"
            f" part_of = {moved.format('part_of')}",
            {"n": ELSEWHERE},
        )


def restored(owner_url: str) -> bool:
    with psycopg.connect(owner_url) as owner:
        return renumber_after_restore(owner, "toy")


async def told(connection: Client) -> int:
    return (await connection.jetstream().stream_info(FEED)).state.messages


async def count(counters: Bound, *command_ids: str) -> None:
    for command_id in command_ids:
        await counters.handle(Increment(command_id=command_id, counter="x"))


async def test_a_restore_publishes_only_what_was_still_due(
    counters: Bound, connection: Client, publish: Publish
) -> None:
    await count(counters, "a", "b")
    assert await publish() == 2
    await count(counters, "c")
    restore_elsewhere(counters.owner_url)

    assert restored(counters.owner_url)
    await count(counters, "d")
    assert await publish() == 2
    assert await publish() == 0
    assert await told(connection) == 4


async def test_a_published_part_of_a_window_is_not_repeated(
    counters: Bound, connection: Client, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    await count(counters, "a", "b", "c")
    monkeypatch.setattr(relay_module, "RELAY_WINDOW_ROWS", 2)
    assert await publish() == 2
    restore_elsewhere(counters.owner_url)

    assert restored(counters.owner_url)
    assert await publish() == 1
    assert await publish() == 0


async def test_a_database_in_its_own_cluster_is_left_alone(counters: Bound, publish: Publish) -> None:
    await count(counters, "a", "b")
    await publish()
    before = await counters.rows("SELECT xid, published FROM toy.outbox, toy.relay_position ORDER BY id")
    assert not restored(counters.owner_url)
    assert before == await counters.rows(
        "SELECT xid, published FROM toy.outbox, toy.relay_position ORDER BY id"
    )


async def test_nothing_is_published_before_it_is_put_right(counters: Bound, connection: Client) -> None:
    await count(counters, "a")
    restore_elsewhere(counters.owner_url)

    async def never() -> Client:
        raise AssertionError("the relay went on")

    relay = Relay(schema="toy", database_url=counters.owner_url, connect_nats=never)
    with pytest.raises(PositionAhead, match=r"python -m shared\.operations\.provision"):
        await relay._publish_as_leader()
    with psycopg.connect(counters.owner_url) as owner:
        assert is_outbox_ahead(owner, "toy")
    assert await told(connection) == 0
