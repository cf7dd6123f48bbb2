"""The licenses worker is killed while it activates, changes seats and refreshes; a retry ends it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

import tallystick
from shared.operations.audit import audit
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.license_steps import activation, key_of, subscribes
from tests.support.shop import fresh_id
from tests.support.stack import System, whole_system
from tests.support.waiting import eventually

INSTANCES = 40
"""Machines that refresh while the worker is killed."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system whose processes the test may kill, with the example catalog."""
    with whole_system(without=("monitoring", "payouts", "notifications")) as running:
        asyncio.run(_apply(running.stack.nats.users["client"]))
        yield running


async def _apply(url: str) -> None:
    async with tallystick.connect(url) as billing:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))


@pytest.fixture
async def billing(system: System) -> AsyncIterator[tallystick.Client]:
    """A client that waits long enough for a worker to come back."""
    async with tallystick.connect(system.stack.nats.users["client"]) as client:
        yield client


async def licensed(billing: tallystick.Client, name: str) -> m.LicenseSnapshot:
    """The license of a new customer's subscription."""
    customer = Customer(type="organization", id=fresh_id(name))
    await billing.call(
        s.RegisterCustomer(command_id=fresh_id("register"), customer=customer, email="pay@acme.example")
    )
    return await subscribes(billing, customer)


@asynccontextmanager
async def stopped_at(system: System, row: str) -> AsyncIterator[None]:
    """Hold a lock while the block runs, so that the moment of the kill is certain."""
    async with await psycopg.AsyncConnection.connect(system.stack.owner_url) as connection:
        await connection.execute(row.encode())
        yield
        await connection.rollback()


async def waits_for_a_lock(system: System) -> bool:
    """Whether a transaction of the service waits for a lock."""
    async with await psycopg.AsyncConnection.connect(system.stack.owner_url) as connection:
        found = await connection.execute(
            """SELECT FROM pg_stat_activity
                WHERE usename = 'tallystick_licenses' AND wait_event_type = 'Lock'"""
        )
        return found.rowcount > 0


async def is_killed_in(system: System, asking: "asyncio.Task[Any]") -> None:
    """Kill the worker, give up the pending call, and start the worker again."""
    await eventually(lambda: waits_for_a_lock(system))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.to_thread(system.stack.kill, "licenses")
    # Not in a thread of this test's, with which it would die.
    system.stack.restart("licenses")
    await asyncio.to_thread(system.stack.wait_until_ready, "licenses")


async def is_clean(system: System) -> bool:
    """Whether the audit finds nothing."""
    found = await audit(system.stack.owner_url, system.stack.nats.url, prefix="billing")
    assert not {name: violations for name, violations in found.items() if violations}
    return True


@pytest.mark.timeout(120)
async def test_a_kill_during_an_activation_leaves_the_key_unlinked(
    system: System, billing: tallystick.Client
) -> None:
    issued = await licensed(billing, "activation")
    key = await key_of(billing, issued.license_id)
    command = activation(key, "host-1")
    # It has taken the place and signed the file, and is about to commit.
    async with stopped_at(system, "LOCK TABLE licenses.outbox IN EXCLUSIVE MODE"):
        await is_killed_in(system, asyncio.create_task(billing.call(command)))
        found = (await billing.ask(m.GetLicense(license_id=issued.license_id))).license
        assert found.activations == []
    result = await billing.call(command)
    assert [one.instance_id for one in result.license.activations] == ["host-1"]
    assert (await billing.call(command)).license_file == result.license_file
    await eventually(lambda: is_clean(system), within_seconds=60)


@pytest.mark.timeout(120)
async def test_a_kill_after_the_subscription_changed_changes_the_seats_once(
    system: System, billing: tallystick.Client
) -> None:
    issued = await licensed(billing, "seats")
    command = m.ChangeLicenseSeats(
        command_id=fresh_id("seats"), license_id=issued.license_id, seats=40, when="now", proration="none"
    )
    row = f"SELECT FROM licenses.known_subscriptions WHERE subscription_id = '{issued.subscription_id}'"
    async with stopped_at(system, f"{row} FOR UPDATE"):
        await is_killed_in(system, asyncio.create_task(billing.call(command)))
        subscription = await billing.ask(s.GetSubscription(subscription_id=issued.subscription_id))
        assert subscription.subscription.items[0].quantity == 40
    assert (await billing.call(command)).license.seats == 40
    again = await billing.ask(s.GetSubscription(subscription_id=issued.subscription_id))
    assert again.subscription.version == subscription.subscription.version
    await eventually(lambda: is_clean(system), within_seconds=60)


@pytest.mark.timeout(120)
async def test_kills_during_refreshes_lose_and_repeat_nothing(
    system: System, billing: tallystick.Client
) -> None:
    customer = Customer(type="organization", id=fresh_id("refresh"))
    issued = await billing.call(
        m.IssueLicense(
            command_id=fresh_id("issue"), customer=customer, product="self_hosted", instances=INSTANCES
        )
    )
    key = issued.license_key
    await asyncio.gather(*(billing.call(activation(key, f"host-{number}")) for number in range(INSTANCES)))

    async def refreshes(number: int) -> str:
        command = m.RefreshLicense(
            command_id=fresh_id("refresh"), license_key=key, instance_id=f"host-{number}", members=number
        )
        first = await eventually(lambda: _file_of(billing, command), within_seconds=60)
        assert await _file_of(billing, command) == first
        return str(first)

    refreshing = [asyncio.create_task(refreshes(number)) for number in range(INSTANCES)]
    await asyncio.to_thread(system.stack.kill, "licenses")
    system.stack.restart("licenses")
    await asyncio.to_thread(system.stack.wait_until_ready, "licenses")
    assert len(set(await asyncio.gather(*refreshing))) == INSTANCES
    found = (await billing.ask(m.GetLicense(license_key=key))).license
    assert sorted(one.members or 0 for one in found.activations) == list(range(INSTANCES))
    await eventually(lambda: is_clean(system), within_seconds=60)


async def _file_of(billing: tallystick.Client, command: m.RefreshLicense) -> str | None:
    """The file that a refresh gives; None while the worker is away."""
    try:
        return (await billing.call(command)).license_file
    except tallystick.DeadlineExceeded:
        return None
