"""Rate at which one tick renews many offline subscriptions, with one published event each."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

import tallystick
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tallystick.messages.subscriptions import CreateSubscription, ItemToBuy, RegisterCustomer
from tests.benchmarks.ticking import tick_until_done
from tests.support.catalogs import example_catalog
from tests.support.stack import Stack, stack

FEW, MANY = 10_000, 100_000
FEW_ARE_DUE = datetime(2026, 2, 1, tzinfo=UTC)
MANY_ARE_DUE = datetime(2026, 2, 10, tzinfo=UTC)
WANTED_PER_SECOND = 3_000
FLOOR_ROWS = 10_000
FLOOR_BATCH = 500

CLONE_CUSTOMERS = """
    INSERT INTO subscriptions.customers
        (customer, customer_id, version, email, metadata, created_at)
    SELECT 'user_' || %(tag)s || n, 'customer_' || %(tag)s || n, version, email, metadata, created_at
    FROM subscriptions.customers, generate_series(1, %(count)s) AS n WHERE customer = 'user_template'
"""
CLONE_SUBSCRIPTIONS = """
    INSERT INTO subscriptions.subscriptions
        (subscription_id, customer, version, status, collection, items, current_period_start,
         current_period_end, period_anchor, period_interval, cancel_at_period_end, created_at)
    SELECT 'sub_' || %(tag)s || n, 'user_' || %(tag)s || n, version, status, collection, items,
           %(due)s::timestamptz - interval '1 month', %(due)s, %(due)s::timestamptz - interval '1 month',
           period_interval, false, created_at
    FROM subscriptions.subscriptions, generate_series(1, %(count)s) AS n WHERE customer = 'user_template'
"""
STILL_DUE = """
    SELECT EXISTS (
        SELECT FROM subscriptions.subscriptions
        WHERE current_period_end <= %s AND ended_at IS NULL AND stripe_subscription_id IS NULL
    )
"""
FLOOR_UPDATE = """
    UPDATE floor_renewal AS old SET version = new.version, body = new.body
    FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS new (id, version, body) WHERE old.id = new.id
"""
FLOOR_EVENTS = "INSERT INTO floor_events SELECT * FROM unnest(%s::text[], %s::bytea[])"


def run() -> dict[str, Any]:
    """Renew few, then many, by one tick each; the floor is as many rows and payloads from bare psycopg."""
    with stack() as running, running.worker("subscriptions"):
        asyncio.run(_make(running))
        floor = _floor(running.owner_url)
        few = asyncio.run(tick_until_done(running, "subscriptions", "move_periods", FEW_ARE_DUE, STILL_DUE))
        many = asyncio.run(tick_until_done(running, "subscriptions", "move_periods", MANY_ARE_DUE, STILL_DUE))
    per_second = MANY / many.seconds
    return {
        "benchmark": "renewal",
        "subscriptions": MANY,
        "per_second": round(per_second),
        "wanted_per_second": WANTED_PER_SECOND,
        "ratio": round(per_second / floor, 3),
        "floor_per_second": round(floor),
        "per_second_of_few": round(FEW / few.seconds),
        "time_for_ten_times_as_many": round(many.seconds / few.seconds, 2),
        "peak_mib_of_few": round(few.peak_mib),
        "peak_mib": round(many.peak_mib),
    }


async def _make(running: Stack) -> None:
    """Create one offline subscription by a command, and copies of it in the tables."""
    customer = Customer(type="user", id="template")
    async with tallystick.connect(running.nats.users["client"]) as billing:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))
        await billing.call(RegisterCustomer(command_id="customer", customer=customer, email="a@b.example"))
        items = [ItemToBuy(price="essential_monthly")]
        command = CreateSubscription(
            command_id="subscription", customer=customer, items=items, collection="none"
        )
        await billing.call(command)
    with psycopg.connect(running.owner_url, autocommit=True) as connection:
        for tag, count, due in (("few", FEW, FEW_ARE_DUE), ("many", MANY, MANY_ARE_DUE)):
            values = {"tag": tag, "count": count, "due": due}
            connection.execute(CLONE_CUSTOMERS, values)
            connection.execute(CLONE_SUBSCRIPTIONS, values)
        connection.execute("VACUUM ANALYZE subscriptions.subscriptions, subscriptions.customers")


def _floor(owner_url: str) -> float:
    """Return rows per second of one update and one event each, in batches and without any logic."""
    payload = b"x" * 1_500
    with psycopg.connect(owner_url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("CREATE TABLE floor_renewal (id text PRIMARY KEY, version bigint, body text)")
        connection.execute("CREATE TABLE floor_events (id text PRIMARY KEY, payload bytea)")
        connection.execute(
            "INSERT INTO floor_renewal SELECT 'sub_' || n, 1, repeat('x', 900) FROM generate_series(1, %s) n",
            (FLOOR_ROWS,),
        )
        started = time.perf_counter()
        for first in range(1, FLOOR_ROWS + 1, FLOOR_BATCH):
            ids = [f"sub_{number}" for number in range(first, first + FLOOR_BATCH)]
            with connection.transaction():
                connection.execute(FLOOR_UPDATE, (ids, [2] * len(ids), ["y" * 900] * len(ids)), binary=True)
                connection.execute(FLOOR_EVENTS, (ids, [payload] * len(ids)), binary=True)
        return FLOOR_ROWS / (time.perf_counter() - started)
