"""The ingress is killed while it stores a webhook: Stripe sends it again, and it has one effect."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from tallystick.messages import subscriptions as m
from tests.support.shop import Shop
from tests.support.waiting import eventually

INGEST = "webhooks-ingest"


@pytest.mark.parametrize("is_committed", [True, False], ids=["after its commit", "before its commit"])
async def test_killed_while_taking_an_event(shop: Shop, is_committed: bool) -> None:
    registered = await shop.register()
    stripe_customer_id = str(registered.stripe_customer_id)
    # The ingress has its statement prepared after this, so that one message to Postgres is all it needs.
    shop.stripe.v1.customers.update(stripe_customer_id, {"email": "before@acme.example"})
    await eventually(lambda: _has_email(shop, "before@acme.example"))
    await shop.all_applied()
    stack = shop.system.stack
    async with shop.feed() as told:
        async with _no_event_can_be_stored(stack.owner_url) as owner:
            shop.stripe.v1.customers.update(stripe_customer_id, {"email": "after@acme.example"})
            event_id = shop.stripe_events(stripe_customer_id)[-1]["id"]
            await eventually(lambda: _is_waiting(owner))
            # Frozen with its statement at Postgres: it can neither see the commit nor answer.
            os.kill(stack.children["webhooks"].pid, signal.SIGSTOP)
            if not is_committed:
                await owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    [INGEST],
                )
                await eventually(lambda: _is_gone(owner))
        stored = 1 if is_committed else 0

        async def as_expected() -> bool:
            return await shop.rows("webhooks.stripe_events", "event_id = %s", event_id) == stored

        await eventually(as_expected)
        stack.kill("webhooks")
        assert await shop.rows("webhooks.outbox", "message_id = %s", event_id) == stored
        stack.restart("webhooks")
        await asyncio.to_thread(stack.wait_until_ready, "webhooks")
        await shop.deliveries(retry_now=True)
        await eventually(lambda: _has_email(shop, "after@acme.example"))
        await shop.all_delivered()
        assert (await shop.event_is(event_id, "applied")).attempts == 1
        assert await shop.rows("webhooks.stripe_events", "event_id = %s", event_id) == 1
        assert await shop.rows("webhooks.outbox", "message_id = %s", event_id) == 1
        await eventually(lambda: len(told.of("customer")) == 3)
        assert told.names("customer") == ["created", "updated", "updated"]


@asynccontextmanager
async def _no_event_can_be_stored(owner_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Lock the table of events for the block; yields the owner's connection."""
    async with (
        await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner,
        await psycopg.AsyncConnection.connect(owner_url) as holder,
    ):
        await holder.execute("LOCK TABLE webhooks.stripe_events IN SHARE ROW EXCLUSIVE MODE")
        yield owner
        await holder.rollback()


async def _is_waiting(owner: psycopg.AsyncConnection) -> bool:
    cursor = await owner.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'", [INGEST]
    )
    return await cursor.fetchone() is not None


async def _is_gone(owner: psycopg.AsyncConnection) -> bool:
    cursor = await owner.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [INGEST])
    return await cursor.fetchone() is None


async def _has_email(shop: Shop, email: str) -> bool:
    return (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer.email == email
