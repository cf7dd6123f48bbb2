"""`check_entitlement` requests per second of one worker, compared with echoes of the same requests.

The floor is an echo through FastStream, as the other consumers use it; beside it a bare echo of nats-py.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import psycopg
from nats.aio.client import Client

from shared.messaging.nats_connection import connect
from tallystick.subjects import Subjects
from tests.benchmarks.echo_worker import BARE, FRAMEWORK
from tests.benchmarks.floors import echoing
from tests.support.stack import Stack, stack

CUSTOMERS, FEATURES = 2_000, 5
IN_FLIGHT = 64
"""Requests that are under way at a time: a busy service's."""
ROUNDS = 3
"""All of them take turns, so that they see the same noise; the median counts."""
ROUND_SECONDS = 3.0
WARM_UP_SECONDS = 1.0
RATIO_WANTED = 0.5
TIMEOUT_SECONDS = 10
CHECK = Subjects().request("subscriptions", "check_entitlement")
FILL = """
    WITH customer AS (
        INSERT INTO subscriptions.customers (customer, customer_id, version, email, metadata, created_at)
        SELECT 'user_' || n, 'customer_' || n, 1, 'pay@acme.example', '{}', now()
        FROM generate_series(1, %(customers)s) AS n RETURNING customer
    )
    INSERT INTO subscriptions.entitlements
        (customer, feature, version, granted, allowed, quantity, sources, expires_at)
    SELECT customer, 'feature_' || n, 1, true, true, n,
           '[{"subscription_id": "sub_1", "product": "team", "through": "owner"}]', NULL
    FROM customer, generate_series(1, %(features)s) AS n
"""


def run() -> dict[str, Any]:
    """Fill the tables, then ask by turns."""
    with stack() as running, running.worker("subscriptions"):
        with psycopg.connect(running.owner_url) as connection:
            connection.execute(FILL, {"customers": CUSTOMERS, "features": FEATURES})
            connection.execute("ANALYZE subscriptions.entitlements")
        return asyncio.run(_measure(running))


async def _measure(running: Stack) -> dict[str, Any]:
    async with echoing(running.nats.users["subscriptions"]):
        caller = await connect(running.nats.users["client"], "caller")
        try:
            return await _take_turns(caller)
        finally:
            await caller.close()


async def _take_turns(connection: Client) -> dict[str, Any]:
    bodies = _questions()
    await _check_answers(connection, bodies)
    rates: dict[str, list[float]] = {subject: [] for subject in (BARE, FRAMEWORK, CHECK)}
    for subject in rates:
        await _rate(connection, subject, bodies, WARM_UP_SECONDS)
    for _ in range(ROUNDS):
        for subject, seen in rates.items():
            seen.append(await _rate(connection, subject, bodies, ROUND_SECONDS))
    bare, framework, checks = (median(seen) for seen in rates.values())
    return {
        "benchmark": "check_entitlement",
        "ratio": round(checks / framework, 3),
        "wanted": RATIO_WANTED,
        "checks_per_second": round(checks),
        "echoes_per_second": round(framework),
        "bare_ratio": round(checks / bare, 3),
        "bare_echoes_per_second": round(bare),
        "in_flight": IN_FLIGHT,
    }


def _questions() -> list[bytes]:
    chosen = random.Random(7)
    return [
        json.dumps(
            {
                "customer": {"type": "user", "id": str(chosen.randint(1, CUSTOMERS))},
                "feature": f"feature_{chosen.randint(1, FEATURES)}",
            }
        ).encode()
        for _ in range(5_000)
    ]


async def _check_answers(connection: Client, bodies: Sequence[bytes]) -> None:
    """Check that the answers are right."""
    for body in bodies[:100]:
        answer = json.loads((await connection.request(CHECK, body, timeout=TIMEOUT_SECONDS)).data)
        wanted = int(json.loads(body)["feature"].removeprefix("feature_"))
        if (answer["result"]["allowed"], answer["result"]["quantity"]) != (True, wanted):
            raise AssertionError(f"{body!r} was answered {answer!r}")


async def _rate(connection: Client, subject: str, bodies: Sequence[bytes], seconds: float) -> float:
    """Return answers per second with a constant number of requests in flight."""
    answered, until = 0, time.perf_counter() + seconds

    async def ask(first: int) -> None:
        nonlocal answered
        number = first
        while time.perf_counter() < until:
            await connection.request(subject, bodies[number % len(bodies)], timeout=TIMEOUT_SECONDS)
            answered += 1
            number += IN_FLIGHT

    started = time.perf_counter()
    await asyncio.gather(*(ask(first) for first in range(IN_FLIGHT)))
    return answered / (time.perf_counter() - started)
