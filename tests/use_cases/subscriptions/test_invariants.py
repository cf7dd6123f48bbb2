"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.rows import dict_row

from services.subscriptions import invariants
from shared.messaging.nats_connection import connect
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from shared.operations.provision import provision_nats
from tallystick.messages import subscriptions as m
from tallystick.subjects import Subjects
from tests.support.servers import NatsServer
from tests.support.worlds.subscriptions import ACME, OpenShop, World


def _free(world: World) -> m.CreateSubscription:
    return m.CreateSubscription(
        command_id=world.command_id(), customer=ACME, items=[m.ItemToBuy(price="solo_free")]
    )


@pytest.fixture
async def world(open_shop: OpenShop) -> World:
    """A customer with a free plan, after another that was cancelled."""
    world = await open_shop(key=None)
    await world.register()
    ended = (await world.does(_free(world)))["subscription"]["subscription_id"]
    await world.does(m.CancelSubscription(command_id=world.command_id(), subscription_id=ended, at="now"))
    await world.does(_free(world))
    return world


@pytest.fixture
async def live(
    world: World, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LiveSystem]:
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    await provision_nats(
        nats_server.url, prefix="billing", webhook_subject="tunnel.incoming", monitor_url=None
    )
    nats = await connect(nats_server.url, "test")
    for row in await world.bound.outbox("KV_billing_entitlements"):
        await nats.jetstream().publish(row["subject"], row["payload"], headers=row["headers"])
    database = await psycopg.AsyncConnection.connect(
        world.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    yield LiveSystem(database, nats, Subjects())
    await nats.close()
    await database.close()


async def broken(live: LiveSystem) -> list[str]:
    """Return the names of the violated invariants."""
    return [one.name for one in invariants.INVARIANTS if await one.violations(live)]


async def test_all_is_well(live: LiveSystem) -> None:
    assert await broken(live) == []


async def test_a_key_that_differs_from_its_row_is_found(live: LiveSystem) -> None:
    await live.nats.jetstream().publish(
        "$KV.billing_entitlements.organization_acme.hours", b'{"allowed": true}'
    )

    assert await broken(live) == ["the entitlements bucket equals the tables"]


async def test_a_key_that_no_row_gives_is_found(live: LiveSystem) -> None:
    await live.nats.jetstream().publish("$KV.billing_entitlements.user_ann.hours", b"{}")

    assert await broken(live) == ["the entitlements bucket equals the tables"]


async def test_an_entitlement_that_no_subscription_gives_is_found(live: LiveSystem) -> None:
    await live.database.execute("UPDATE subscriptions.subscriptions SET status = 'paused'")

    assert await broken(live) == ["entitlements are what subscriptions, seats and overrides give"]


async def test_a_change_that_was_not_told_is_found(live: LiveSystem) -> None:
    await live.database.execute("UPDATE subscriptions.customers SET version = version + 1")

    assert await broken(live) == ["rows are at the version that was told last"]


async def test_what_was_told_of_a_row_that_is_gone_is_found(live: LiveSystem) -> None:
    await live.database.execute("DELETE FROM subscriptions.subscriptions WHERE ended_at IS NOT NULL")

    assert await broken(live) == ["rows are at the version that was told last"]
