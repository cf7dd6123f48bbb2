"""The audit says nothing when all is well, and names what is wrong when something is."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import psycopg
import pytest
from psycopg.rows import dict_row

from shared.audit import (
    EveryCommandHasItsOutcome,
    EveryEventIsPublished,
    Invariant,
    Live,
    TheFeedTellsAllInOrder,
    VersionsHaveNoGaps,
)
from shared.provision import LAYOUT_PATH
from shared.relay import SETTINGS, Relay
from shared.streams import apply_layout, load_layout
from tallystick.subjects import Subjects
from tests.plumbing.toy import Charge, Increment, Outside
from tests.support.runtime import Bound
from tests.support.servers import NatsServer

FEED = "BILLING_CHANGE_FEED"


@pytest.fixture
async def live(counters: Bound, nats_server: NatsServer) -> AsyncIterator[Live]:
    """The toy, with two counters that have moved three times and one command done outside; all of it told."""
    client = await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")
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
        yield Live(owner, client, Subjects())
    await client.close()


INVARIANTS: list[Callable[[str], Invariant]] = [
    EveryEventIsPublished,
    VersionsHaveNoGaps,
    TheFeedTellsAllInOrder,
    EveryCommandHasItsOutcome,
]


async def found(live: Live) -> dict[str, list[str]]:
    """The violations by the invariant's name; those that hold are left out."""
    live.feed = {}
    all_of_them = [invariant("toy") for invariant in INVARIANTS]
    violations: dict[str, Any] = {one.name: list(await one.violations(live)) for one in all_of_them}
    return {name: said for name, said in violations.items() if said}


async def test_nothing_is_found_where_all_is_well(live: Live) -> None:
    assert await found(live) == {}


async def test_what_waits_too_long_is_found(live: Live, counters: Bound) -> None:
    await counters.handle(Increment(command_id="more", counter="c0"))
    assert await found(live) == {}
    await counters.execute(
        "UPDATE toy.outbox SET recorded_at = now() - interval '11 seconds' WHERE caused_by = 'more'"
    )
    [(name, [said])] = (await found(live)).items()
    assert name == "committed messages are published"
    assert "movedV1 waits since" in said


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_that_is_missing_is_found(live: Live, counters: Bound, version: int) -> None:
    await counters.execute(f"DELETE FROM toy.outbox WHERE entity_id = 'c1' AND version = {version}")
    [(name, [said])] = (await found(live)).items()
    assert name == "versions count from 1 without gaps"
    assert said == f"counter c1: 2 events, versions {2 if version == 1 else 1} to 3"


@pytest.mark.parametrize("sequence", [4, 6])
async def test_what_the_feed_does_not_tell_is_found(live: Live, sequence: int) -> None:
    """In between, and at the end."""
    await live.nats.jetstream().delete_msg(FEED, sequence)
    [(name, [said])] = (await found(live)).items()
    assert name == "the feed tells all of each entity's changes in sequence"
    assert said.startswith("counter c1 at version 3: the feed tells [1, ")


async def test_what_the_feed_tells_in_another_order_is_found(live: Live) -> None:
    jetstream = live.nats.jetstream()
    second = await jetstream.get_msg(FEED, 4)
    await jetstream.delete_msg(FEED, 4)
    await jetstream.publish(second.subject or "", second.data or b"")
    assert list(await found(live)) == ["the feed tells all of each entity's changes in sequence"]


async def test_a_command_left_without_its_outcome_is_found(
    live: Live, counters: Bound, outside: Outside
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
