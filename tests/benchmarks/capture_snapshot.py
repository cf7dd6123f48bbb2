"""Time of one snapshot over a million customers and five million balances."""

import asyncio
import json
import os
import time
from statistics import median
from typing import Any

import psycopg

from shared.messaging.nats_connection import connect
from tests.support.stack import stack

CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "1000000"))
BALANCES_EACH = 5
WANTED_SECONDS = 5.0
TIMES = 3
CHUNK = 250_000
MONITORING = """
    INSERT INTO monitoring.known_customers (customer, version)
    SELECT 'organization_' || n, 1 FROM generate_series(1, {customers}) AS n;
    INSERT INTO monitoring.known_subscriptions
        (subscription_id, version, customer, status, product, unlimited)
    SELECT 'sub_' || n, 1, 'organization_' || n,
           (ARRAY['active', 'active', 'active', 'trialing', 'canceled'])[1 + n % 5],
           (ARRAY['essential', 'professional', 'business'])[1 + n % 3],
           CASE WHEN n % 100 = 0 THEN ARRAY['feature_1'] ELSE ARRAY[]::text[] END
    FROM generate_series(1, {customers}) AS n;
    ANALYZE monitoring.known_customers, monitoring.known_subscriptions;
"""
FEATURES = """
    INSERT INTO consumables.known_features (code, version, kind, archived, name)
    SELECT 'feature_' || n, 1, CASE WHEN n < 3 THEN 'limit' ELSE 'consumable' END, false, 'Feature'
    FROM generate_series(1, 5) AS n
"""
ACCOUNTS = """
    INSERT INTO consumables.accounts (account, customer, created_at)
    SELECT 'customer:organization_' || n, 'organization_' || n, now() FROM generate_series(%s::int, %s) AS n
"""
BALANCES = """
    INSERT INTO consumables.balances
        (account, feature, kind, granted, beyond, consumed, remaining, unlimited, version)
    SELECT 'customer:organization_' || n, 'feature_' || f,
           CASE WHEN f < 3 THEN 'limit' ELSE 'consumable' END, 100, 0, n %% 100, 100 - n %% 100,
           (n %% 100 = 0 AND f = 1)::int, 1
    FROM generate_series(%s::int, %s) AS n, generate_series(1, {each}) AS f
"""


def run() -> dict[str, Any]:
    """Fill both services' tables, and capture a snapshot some times."""
    with stack() as running:
        _fill(running.owner_url)
        with running.worker("consumables"), running.worker("monitoring"):
            seconds = asyncio.run(_capture(running.nats.users["client"]))
    return {
        "benchmark": "capture_snapshot",
        "customers": CUSTOMERS,
        "balances": CUSTOMERS * BALANCES_EACH,
        "seconds": round(median(seconds), 2),
        "first_seconds": round(seconds[0], 2),
        "wanted_seconds": WANTED_SECONDS,
        "ratio": round(median(seconds) / WANTED_SECONDS, 2),
        "wanted": 1.0,
        "lower_is_better": True,
    }


def _fill(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("SET synchronous_commit = off")
        owner.execute(MONITORING.format(customers=CUSTOMERS).encode())
        owner.execute(FEATURES)
        for first in range(1, CUSTOMERS + 1, CHUNK):
            span = (first, min(first + CHUNK - 1, CUSTOMERS))
            owner.execute(ACCOUNTS, span)
            owner.execute(BALANCES.format(each=BALANCES_EACH).encode(), span)
        owner.execute("ANALYZE consumables.balances")


async def _capture(url: str) -> list[float]:
    client = await connect(url, "bench")
    seconds = []
    for number in range(TIMES):
        body = json.dumps({"command_id": f"snapshot-{number}"}).encode()
        started = time.perf_counter()
        reply = await client.request("billing.requests.monitoring.capture_snapshot", body, timeout=60)
        seconds.append(time.perf_counter() - started)
        snapshot = json.loads(reply.data)["result"]["snapshot"]
        assert snapshot["customers"] == CUSTOMERS
        assert snapshot["features"]["feature_1"]["unlimited_accounts"] == CUSTOMERS // 100
    await client.close()
    return seconds
