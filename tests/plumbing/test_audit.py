"""The audit finds nothing in correct data, and reports each violation by name."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import psycopg
import pytest
from nats.js.api import RawStreamMsg
from psycopg.rows import dict_row

from shared.messaging.nats_connection import connect
from shared.messaging.relay import SETTINGS, Relay
from shared.operations.audit import (
    EveryCommandHasItsOutcome,
    EveryEventIsPublished,
    FeedHasEveryVersionInOrder,
    FeedHasOnlyOutboxMessages,
    Invariant,
    LiveSystem,
    VersionsHaveNoGaps,
)
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from tallystick.subjects import CHANGE_FEED_STREAM, Subjects
from tests.support.raw_nats import publish_raw
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy.service import Charge, Increment, Outside
from tests.support.waiting import eventually

FEED = "BILLING_CHANGE_FEED"


@pytest.fixture
async def live(counters: Bound, nats_server: NatsServer) -> AsyncIterator[LiveSystem]:
    """The toy with two counters that moved three times and one external command; all events are published."""
    client = await connect(nats_server.url, "audit")
    await apply_layout(client, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks"))
    for number in range(6):
        await counters.handle(Increment(command_id=f"a{number}", counter=f"c{number % 2}"))
    await counters.handle(Charge(command_id="b", counter="c0"))
    relay = Relay(schema="toy", database_url=counters.owner_url, connect_nats=lambda: nats.connect())
    async with await psycopg.AsyncConnection.connect(counters.owner_url, autocommit=True) as database:
        await database.execute(SETTINGS)
        assert await relay.publish_due(database, client) == 7
    async with await psycopg.AsyncConnection.connect(
        counters.owner_url, autocommit=True, row_factory=dict_row
    ) as owner:
        yield LiveSystem(owner, client, Subjects(), ["toy"])
    await client.close()


INVARIANTS: list[Callable[[str], Invariant]] = [
    EveryEventIsPublished,
    VersionsHaveNoGaps,
    FeedHasEveryVersionInOrder,
    EveryCommandHasItsOutcome,
]


def own_headers(message: RawStreamMsg) -> dict[str, str]:
    """Return a message's headers without those that JetStream interprets."""
    return {name: value for name, value in (message.headers or {}).items() if not name.startswith("Nats-")}


async def found(live: LiveSystem) -> dict[str, list[str]]:
    """The violations by the invariant's name; those that hold are left out."""
    live.contents = None
    all_of_them = [invariant("toy") for invariant in INVARIANTS]
    violations: dict[str, Any] = {one.name: list(await one.violations(live)) for one in all_of_them}
    return {name: said for name, said in violations.items() if said}


async def test_nothing_is_found_where_all_is_well(live: LiveSystem) -> None:
    assert await found(live) == {}


async def test_what_waits_too_long_is_found(live: LiveSystem, counters: Bound) -> None:
    await counters.handle(Increment(command_id="more", counter="c0"))
    assert await found(live) == {}
    await counters.execute(
        "UPDATE toy.outbox SET recorded_at = now() - interval '11 seconds' WHERE caused_by = 'more'"
    )
    [(name, [said])] = (await found(live)).items()
    assert name == "committed messages are published"
    assert "movedV1 waits since" in said


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_that_is_missing_is_found(live: LiveSystem, counters: Bound, version: int) -> None:
    await counters.execute(f"DELETE FROM toy.outbox WHERE entity_id = 'c1' AND version = {version}")
    [(name, [said])] = (await found(live)).items()
    assert name == "versions count from 1 without gaps"
    assert said == f"counter c1: 2 events, versions {2 if version == 1 else 1} to 3"


@pytest.mark.parametrize("sequence", [4, 6])
async def test_what_the_feed_does_not_tell_is_found(live: LiveSystem, sequence: int) -> None:
    """An event is missing in the middle, and another at the end."""
    await live.nats.jetstream().delete_msg(FEED, sequence)
    [(name, [said])] = (await found(live)).items()
    assert name == "the feed tells all of each entity's changes in sequence"
    assert said.startswith("counter c1 at version 3: the feed tells [1, ")


async def test_what_the_feed_tells_in_another_order_is_found(live: LiveSystem) -> None:
    jetstream = live.nats.jetstream()
    second = await jetstream.get_msg(FEED, 4)
    await jetstream.delete_msg(FEED, 4)
    await jetstream.publish(second.subject or "", second.data or b"", headers=own_headers(second))
    assert list(await found(live)) == ["the feed tells all of each entity's changes in sequence"]


async def test_a_command_left_without_its_outcome_is_found(
    live: LiveSystem, counters: Bound, outside: Outside
) -> None:
    outside.away = True
    await counters.handle(Charge(command_id="cut-off", counter="c0"))
    await counters.execute("UPDATE toy.inbox SET received_at = now() WHERE outcome IS NULL")
    assert await found(live) == {}
    await counters.execute(
        "UPDATE toy.inbox SET received_at = now() - interval '11 minutes' WHERE outcome IS NULL"
    )
    [(name, [said])] = (await found(live)).items()
    assert name == "no command is left without its outcome"
    assert said.startswith("charge cut-off since ")


SUBJECT = b"billing.change_feed.counter.organization_acme.movedV1"
ODD_MESSAGES = [
    (SUBJECT, b"", b"not json"),
    (SUBJECT, b"", b"\xff"),
    (SUBJECT, b"", b""),
    (SUBJECT, b"", b"[]"),
    (SUBJECT, b"", b"{}"),
    (SUBJECT, b"", b"[" * 100_000),
    (SUBJECT, b"", b'{"counter": null, "version": 1}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": "c0"}}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": ["c0"]}, "version": 1}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": "c0"}, "version": "4"}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": "c0"}, "version": true}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": "c0"}, "version": 18446744073709551615}'),
    (SUBJECT, b"", b'{"counter": {"counter_id": "\\u0000"}, "version": 1}'),
    (SUBJECT, b"NATS/1.0 100 Idle\r\nStatus: 100\r\n\r\n", b""),
    (SUBJECT, b"NATS/1.0\r\nStatus: 404\r\n\r\n", b""),
    (SUBJECT, b"no headers", b"{}"),
    (b"billing.change_feed.counter", b"", b"{}"),
    (b"billing.change_feed.counter.organization_acme.\xff", b"", b"{}"),
    (b"billing.change_feed.\x00.organization_acme.movedV1", b"", b'{"\\u0000": {}, "version": 1}'),
    (b"billing.change_feed.nobody.organization_acme.movedV1", b"", b'{"nobody": {"nobody_id": ""}}'),
]


async def _is_stored(live: LiveSystem) -> bool:
    """Whether the feed has the message after the seven events."""
    return (await live.nats.jetstream().stream_info(CHANGE_FEED_STREAM)).state.messages == 8


@pytest.mark.parametrize(("subject", "headers", "body"), ODD_MESSAGES, ids=repr)
async def test_what_is_no_event_is_found_and_the_rest_is_read(
    live: LiveSystem, nats_server: NatsServer, subject: bytes, headers: bytes, body: bytes
) -> None:
    await publish_raw(nats_server.url, (subject, b"", headers, body))
    await eventually(lambda: _is_stored(live))
    [said] = await FeedHasOnlyOutboxMessages().violations(live)
    assert said.startswith("message 8 on 'billing.change_feed.")
    assert said.endswith(" is no event")
    assert (await live.feed()).versions == {"counter": {"c0": [1, 2, 3, 4], "c1": [1, 2, 3]}}
    assert await found(live) == {}


async def test_an_event_that_no_service_wrote_is_found(live: LiveSystem) -> None:
    jetstream = live.nats.jetstream()
    true = await jetstream.get_msg(FEED, 2)
    body, headers = true.data or b"", own_headers(true)
    assert b'"value":1' in body
    await jetstream.publish(SUBJECT.decode(), body, headers=headers)
    assert await FeedHasOnlyOutboxMessages().violations(live) == [], (
        "the relay, too, publishes twice after a crash"
    )
    forged = [
        (SUBJECT.decode(), body.replace(b'"value":1', b'"value":9'), headers),
        (SUBJECT.decode(), body.replace(b'"version":1', b'"version":7'), headers),
        (SUBJECT.decode(), body.replace(b'"c1"', b'"c9"'), headers),
        (SUBJECT.decode().replace("acme", "other"), body, headers),
        (SUBJECT.decode(), body, headers | {"ce-type": "billing.counter.stoppedV1"}),
        (SUBJECT.decode(), body, {}),
    ]
    for subject, changed, its_headers in forged:
        await jetstream.publish(subject, changed, headers=its_headers)
    live.contents = None
    theirs = "'billing.change_feed.counter.organization_acme.movedV1'"
    assert await FeedHasOnlyOutboxMessages().violations(live) == [
        f"message 9 on {theirs} is not as the outbox has it",
        f"message 10 on {theirs} is in no outbox",
        f"message 11 on {theirs} is in no outbox",
        f"message 12 on {theirs.replace('acme', 'other')} is not as the outbox has it",
        f"message 13 on {theirs} is not as the outbox has it",
        f"message 14 on {theirs} is not as the outbox has it",
    ]


async def test_messages_older_than_the_outbox_are_not_called_forged(
    live: LiveSystem, counters: Bound
) -> None:
    await counters.execute("DELETE FROM toy.outbox WHERE entity_id = 'c1' AND version = 1")
    assert len(await FeedHasOnlyOutboxMessages().violations(live)) == 1
    live.contents = None
    await counters.execute(
        "INSERT INTO toy.partitions (table_name, generation, opened_at, dropped_at)"
        " VALUES ('outbox', '2026-01-01', '2026-01-01', now());"
        "UPDATE toy.partitions SET opened_at = now() + interval '1 minute' WHERE dropped_at IS NULL"
    )
    assert await FeedHasOnlyOutboxMessages().violations(live) == []
