"""Webhooks per second from the queue to one fast endpoint, signed, and with each result in Postgres."""

import asyncio
import time

import psycopg

from services.notifications.endpoints.signing_secrets import SigningSecrets
from tests.support.stack import NOTIFICATIONS_SECRET, Stack, stack
from tests.support.waiting import eventually
from tests.support.webhook_receiver import webhook_receiver

WEBHOOKS = 10_000
WANTED_PER_SECOND = 1_000
ADD_ENDPOINT = """
    INSERT INTO notifications.endpoints (endpoint_id, version, url, events, status, secret, created_at)
    VALUES ('ep_bench', 1, %s, '["*"]', 'enabled', %s, now())
"""
QUEUE = """
    WITH events AS (
        INSERT INTO notifications.outgoing_events (event_id, type, body, occurred_at, created_at)
        SELECT 'evt_' || lpad(n::text, 26, '0'), 'seat.assigned', convert_to(repeat('x', 1000), 'UTF8'),
        now(), now() FROM generate_series(1, %s) AS n RETURNING event_id
    )
    INSERT INTO notifications.deliveries (delivery_id, endpoint_id, event_id, type, status, attempts,
        next_attempt_at, created_at)
    SELECT replace(event_id, 'evt', 'dlv'), 'ep_bench', event_id, 'seat.assigned', 'pending', 0, now(), now()
    FROM events
"""


def run() -> dict[str, object]:
    """Queue the webhooks, start a worker, and wait until they are received."""
    with stack() as running:
        rate = round(asyncio.run(_measure(running)))
    return {
        "name": "webhooks_out",
        "webhooks_per_second": rate,
        "ratio": round(rate / WANTED_PER_SECOND, 2),
        "wanted": 1,
    }


async def _measure(running: Stack) -> float:
    secrets = SigningSecrets([NOTIFICATIONS_SECRET.encode()])
    stored = secrets.encrypt(secrets.make("ep_bench", "bench"))
    async with webhook_receiver() as receiver:
        receiver.is_kept = False
        with psycopg.connect(running.owner_url, autocommit=True) as database:
            database.execute(ADD_ENDPOINT, (receiver.url(), stored))
            database.execute(QUEUE, (WEBHOOKS,))
        with running.worker("notifications", is_awaited=False):
            await eventually(lambda: receiver.count >= WEBHOOKS // 10, within_seconds=60)
            first, started = receiver.count, time.monotonic()
            await eventually(lambda: receiver.count >= WEBHOOKS, within_seconds=120)
            return (WEBHOOKS - first) / (time.monotonic() - started)
