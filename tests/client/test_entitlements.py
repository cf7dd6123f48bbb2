"""The local mirror of the entitlements bucket."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from nats.aio.client import Client as NatsClient

import tallystick
from tallystick.messages.base import Customer
from tests.support.client import OwnNats, eventually
from tests.support.servers import described

ACME = Customer(type="organization", id="acme")


async def put(admin: NatsClient, key: str, **fields: Any) -> None:
    """Write an entitlement, as the relay does."""
    value = {"allowed": True, "quantity": None, "sources": [], "expires_at": None, "version": 1} | fields
    await admin.jetstream().publish(f"$KV.billing_entitlements.{key}", json.dumps(value).encode(), timeout=5)


async def delete(admin: NatsClient, key: str) -> None:
    """Remove an entitlement, as the relay does."""
    await admin.jetstream().publish(
        f"$KV.billing_entitlements.{key}", b"", headers={"KV-Operation": "DEL"}, timeout=5
    )


async def test_the_mirror_is_full_once_entered(client: tallystick.Client, admin: NatsClient) -> None:
    await asyncio.gather(*(put(admin, f"user_{number}.exports", quantity=number) for number in range(2_500)))
    async with client.entitlements() as mirror:
        await eventually(lambda: len(mirror) == 2_500, "all that was written")
        assert mirror.check("user_2499", "exports")
        assert not mirror.check("user_2500", "exports")
        assert not mirror.check("user_2499", "imports")
        last = mirror.get("user_2499", "exports")
        assert last is not None
        assert last.quantity == 2_499


async def test_writes_during_the_initial_fill_all_reach_the_mirror(
    client: tallystick.Client, admin: NatsClient
) -> None:
    writing = asyncio.gather(
        *(put(admin, f"user_{number}.exports", version=number + 1) for number in range(2_500))
    )
    async with client.entitlements() as mirror:
        await writing
        await eventually(lambda: len(mirror) == 2_500, "all that was written")
        await eventually(lambda: mirror.age_seconds < 1, "the mirror to be fresh")


async def test_an_empty_bucket_is_full_at_once(client: tallystick.Client) -> None:
    async with client.entitlements() as mirror:
        assert len(mirror) == 0
        assert mirror.age_seconds < 5


async def test_changes_and_deletions_arrive(client: tallystick.Client, admin: NatsClient) -> None:
    await put(admin, "organization_acme.exports", quantity=10)
    async with client.entitlements() as mirror:
        await eventually(lambda: mirror.check(ACME, "exports"), "the first value")
        await put(admin, "organization_acme.exports", allowed=False)
        await eventually(lambda: not mirror.check(ACME, "exports"), "the change")
        await put(admin, "organization_acme.seats", quantity=3)
        await eventually(lambda: mirror.check(ACME, "seats"), "the new key")
        assert sorted(mirror.of(ACME)) == ["exports", "seats"]
        await delete(admin, "organization_acme.seats")
        await eventually(lambda: mirror.get(ACME, "seats") is None, "the deletion")
        assert mirror.revision == 4


async def test_what_has_expired_is_not_allowed(client: tallystick.Client, admin: NatsClient) -> None:
    now = datetime.now(UTC)
    await put(admin, "user_7.past", expires_at=(now - timedelta(seconds=1)).isoformat())
    await put(admin, "user_7.future", expires_at="2999-01-01T00:00:00Z")
    await put(admin, "user_7.soon", expires_at=(now + timedelta(seconds=1.5)).isoformat())
    async with client.entitlements() as mirror:
        await eventually(lambda: len(mirror) == 3, "all that was written")
        assert not mirror.check("user_7", "past")
        assert mirror.get("user_7", "past") is None
        assert mirror.check("user_7", "future")
        assert mirror.check("user_7", "soon")
        await eventually(lambda: not mirror.check("user_7", "soon"), "the end of what expires")


async def test_the_end_of_one_of_several_sources_changes_what_is_allowed(
    client: tallystick.Client, admin: NatsClient
) -> None:
    # 25 places of which 15 end now; a flag that is taken away until then, and ends a little later.
    soon, later = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (1.5, 3))
    step = {"at": soon.isoformat(), "allowed": True, "quantity": 10, "sources": [], "expires_at": None}
    await put(admin, "user_7.places", quantity=25, upcoming=[step])
    back = step | {"quantity": None, "expires_at": later.isoformat()}
    await put(admin, "user_7.exports", allowed=False, quantity=0, upcoming=[back])
    async with client.entitlements() as mirror:

        def places() -> int | None:
            found = mirror.get("user_7", "places")
            return found.quantity if found is not None else None

        await eventually(lambda: len(mirror) == 2, "all that was written")
        assert (places(), mirror.check("user_7", "exports")) == (25, False)
        await eventually(lambda: places() == 10, "the end of the source")
        assert mirror.check("user_7", "places")
        assert mirror.check("user_7", "exports")
        assert mirror.of("user_7")["places"].quantity == 10
        await eventually(lambda: not mirror.check("user_7", "exports"), "the end of the other source")
        assert sorted(mirror.of("user_7")) == ["places"]


@pytest.mark.parametrize("customers", [["user_1"], ["user_1", Customer(type="user", id="2")]])
async def test_only_the_wanted_customers_are_mirrored(
    client: tallystick.Client, admin: NatsClient, customers: list[Customer | str]
) -> None:
    for number in (1, 2, 3):
        await put(admin, f"user_{number}.exports")
    async with client.entitlements(customers) as mirror:
        await eventually(lambda: len(mirror) == len(customers), "what is wanted")
        assert mirror.check("user_1", "exports")
        assert not mirror.check("user_3", "exports")


UNREADABLE = [
    b"",
    b"not json",
    b"\xff",
    b"null",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"allowed": "false", "version": 2}',
    b'{"allowed": 1, "version": 2}',
    b'{"allowed": false, "version": "2"}',
    b'{"allowed": false, "version": 2, "quantity": "many"}',
    b'{"allowed": false, "version": 2, "sources": 5}',
    b'{"allowed": false, "version": 2, "expires_at": 5}',
    b'{"allowed": false, "version": 2, "expires_at": "0001-01-01T00:00:00"}',
    b'{"allowed": false, "version": 2, "upcoming": ["soon"]}',
    b'{"allowed": false, "version": 2, "upcoming": [{"at": "2026-01-01", "allowed": true}]}',
    b'{"allowed": false, "version": ' + b"9" * 5_000 + b"}",
]


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: repr(value[:60]))
async def test_of_a_value_that_cannot_be_read_the_one_before_is_kept(
    client: tallystick.Client, admin: NatsClient, value: bytes
) -> None:
    await put(admin, "user_1.exports", quantity=7)
    async with client.entitlements() as mirror:
        await eventually(lambda: mirror.check("user_1", "exports"), "the first value")
        await admin.jetstream().publish("$KV.billing_entitlements.user_1.exports", value, timeout=5)
        await eventually(lambda: mirror.revision == 2, "the broken value")
        held = mirror.get("user_1", "exports")
        assert held is not None
        assert held.quantity == 7
        assert mirror.check("user_1", "exports")
        assert list(mirror.problems) == ["user_1.exports"]
        await put(admin, "user_1.exports", allowed=False)
        await eventually(lambda: not mirror.check("user_1", "exports"), "the next value")
        assert mirror.problems == {}


async def test_an_unreadable_entry_allows_nothing_and_is_named(
    client: tallystick.Client, admin: NatsClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tallystick")  # the command line, in the same process, has it quieter
    await put(admin, "user_1.exports")
    await admin.jetstream().publish("$KV.billing_entitlements.user_2.exports", b"not json", timeout=5)
    async with client.entitlements() as mirror:
        await eventually(lambda: mirror.revision == 2, "both values")
        assert mirror.check("user_1", "exports")
        assert not mirror.check("user_2", "exports")
        assert mirror.problems["user_2.exports"].startswith("JSONDecodeError: ")
        assert "user_2.exports cannot be read" in caplog.text
        await delete(admin, "user_2.exports")
        await eventually(lambda: mirror.problems == {}, "the deletion")


async def test_what_cannot_be_read_is_kept_when_the_mirror_fills_again(own_nats: OwnNats) -> None:
    await described(own_nats.server).provision()
    admin = await nats.connect(own_nats.server.url("admin"))
    await put(admin, "user_1.exports")
    await admin.jetstream().publish("$KV.billing_entitlements.user_2.exports", b"[]", timeout=5)
    async with (
        tallystick.connect(own_nats.server.url("client")) as client,
        client.entitlements() as mirror,
    ):
        await eventually(lambda: mirror.check("user_1", "exports"), "the first value")
        await admin.jetstream().publish("$KV.billing_entitlements.user_1.exports", b"[]", timeout=5)
        await eventually(lambda: len(mirror.problems) == 2, "both problems")
        await admin.close()
        own_nats.kill()
        await eventually(lambda: not mirror.connected, "the connection to be lost")
        own_nats.start()
        admin = await nats.connect(own_nats.server.url("admin"))
        readers = await nats.connect(own_nats.server.url("readers"), inbox_prefix="_INBOX_readers")
        await readers.jetstream().purge_stream(
            "KV_billing_entitlements", subject="$KV.billing_entitlements.user_2.exports"
        )
        await readers.close()
        await put(admin, "user_3.exports")
        await eventually(lambda: mirror.check("user_3", "exports"), "what was put after the outage")
        await eventually(lambda: list(mirror.problems) == ["user_1.exports"], "the end of the fill")
        assert mirror.check("user_1", "exports")
        await admin.close()


async def test_a_quiet_mirror_stays_fresh_and_says_so(client: tallystick.Client) -> None:
    async with client.entitlements() as mirror:
        first = mirror.synced_at
        assert first is not None
        await eventually(lambda: (mirror.synced_at or first) > first + timedelta(seconds=1), "a heartbeat")
        assert mirror.age_seconds < 5
        assert mirror.pending == 0


async def test_the_mirror_is_complete_after_an_outage(own_nats: OwnNats) -> None:
    await described(own_nats.server).provision()
    admin = await nats.connect(own_nats.server.url("admin"))
    await put(admin, "user_1.exports")
    await put(admin, "user_2.exports")
    await admin.close()
    async with (
        tallystick.connect(own_nats.server.url("client")) as client,
        client.entitlements() as mirror,
    ):
        await eventually(lambda: len(mirror) == 2, "what was put before the outage")
        own_nats.kill()
        await eventually(lambda: not mirror.connected, "the connection to be lost")
        assert mirror.check("user_1", "exports")
        await eventually(lambda: mirror.age_seconds > 1, "the mirror to notice its age")
        own_nats.start()
        admin = await nats.connect(own_nats.server.url("admin"))
        # Removed without a marker, as when markers are purged while no watcher is connected.
        # First of the original: from there the copy may still be fetching what the outage cost it.
        readers = await nats.connect(own_nats.server.url("readers"), inbox_prefix="_INBOX_readers")
        for purging in (admin, readers):
            await purging.jetstream().purge_stream(
                "KV_billing_entitlements", subject="$KV.billing_entitlements.user_1.exports"
            )
        await readers.close()
        await put(admin, "user_3.exports")
        await eventually(lambda: mirror.check("user_3", "exports"), "what was put after the outage")
        await eventually(lambda: not mirror.check("user_1", "exports"), "what was removed meanwhile")
        assert mirror.check("user_2", "exports")
        await eventually(lambda: mirror.age_seconds < 1, "the mirror to be fresh again")
        await admin.close()


async def test_answers_come_from_memory(client: tallystick.Client, admin: NatsClient) -> None:
    await put(admin, "organization_acme.exports", expires_at="2999-01-01T00:00:00Z")
    async with client.entitlements() as mirror:
        await eventually(lambda: mirror.check("organization_acme", "exports"), "the value")
    assert mirror.check("organization_acme", "exports"), "nobody is asked: it follows nothing any more"
