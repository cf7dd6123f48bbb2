"""Events of subscriptions that monitoring follows per second, from an empty database.

Each subscription is created and activated, and every third one changes its plan. The time includes the start
of the worker; the ratio is to what is wanted.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client

from shared.messaging.jetstream_batch import Message, publish_all
from shared.messaging.nats_connection import connect
from tallystick.subjects import CHANGE_FEED_STREAM, SERVICE_FEED_STREAM
from tests.support.stack import stack
from tests.support.worlds.monitoring import MonitoringWorld, organization

SUBSCRIPTIONS = int(os.environ.get("BENCH_SUBSCRIPTIONS", "100000"))
WANTED_PER_SECOND = 3_000
BATCH = 1_000
POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 600.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> dict[str, Any]:
    """Publish everything, then start the worker and wait until nothing is pending."""
    with stack() as running:
        events = asyncio.run(_publish(running.nats.users["admin"]))
        started = time.perf_counter()
        with running.worker("monitoring"):
            asyncio.run(_wait(running.nats.users["admin"]))
            seconds = time.perf_counter() - started
    per_second = events / seconds
    return {
        "benchmark": "follow_subscriptions",
        "subscriptions": SUBSCRIPTIONS,
        "events": events,
        "seconds_with_start": round(seconds, 1),
        "per_second": round(per_second),
        "wanted_per_second": WANTED_PER_SECOND,
        "ratio": round(per_second / WANTED_PER_SECOND, 2),
        "wanted": 1.0,
    }


async def _publish(url: str) -> int:
    connection = await connect(url, "bench")
    count = 0
    batch: list[Message] = []
    for message in _messages():
        batch.append(message)
        if len(batch) == BATCH:
            count += await _send(connection, batch)
            batch = []
    count += await _send(connection, batch)
    await _sourced(connection, count)
    await connection.close()
    return count


async def _send(connection: Client, batch: list[Message]) -> int:
    if batch:
        await publish_all(connection, batch)
    return len(batch)


async def _sourced(connection: Client, count: int) -> None:
    """Wait until the services' stream has everything."""
    messages = 0
    while messages < count:
        await asyncio.sleep(POLL_SECONDS)
        messages = (await connection.jetstream().stream_info(SERVICE_FEED_STREAM)).state.messages


async def _wait(url: str) -> None:
    connection = await connect(url, "bench")
    deadline = time.perf_counter() + TIMEOUT_SECONDS
    while time.perf_counter() < deadline:
        info = await connection.jetstream().consumer_info(SERVICE_FEED_STREAM, "monitoring-feed")
        if not (info.num_pending or info.num_ack_pending):
            await connection.close()
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError("monitoring has not caught up")


def _messages() -> Iterator[Message]:
    world = MonitoringWorld(bound=None)  # type: ignore[arg-type] # only makes events
    for number in range(SUBSCRIPTIONS):
        customer = organization(f"c{number}")
        at = BEGIN + timedelta(minutes=number)
        states = [("incomplete", "solo", 0), ("active", "solo", 1)]
        if number % 3 == 0:
            states.append(("active", "pro", 30))
        for version, (status, price, days) in enumerate(states, 1):
            event = world.subscription(
                customer,
                version,
                at + timedelta(days=days),
                status,  # type: ignore[arg-type]
                price,
                id=f"sub_c{number}",
            )
            subject = f"billing.change_feed.subscription.{customer.token}.updatedV1"
            yield Message(
                f"{number}-{version}", CHANGE_FEED_STREAM, subject, {}, event.model_dump_json().encode()
            )
