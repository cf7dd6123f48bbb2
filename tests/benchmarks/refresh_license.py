"""Refreshes of license files per second, each for a random machine, by 64 callers."""

import asyncio
import random
import time
from itertools import count
from statistics import median
from typing import Any

import orjson
import psycopg
import uvloop

from services.licenses.issuing.license_keys import hash_key
from shared.messaging.nats_connection import connect
from tallystick.licensing import KEY_BYTES, format_key
from tallystick.subjects import Subjects
from tests.benchmarks.consuming import (
    CALLERS,
    ROUND_SECONDS,
    ROUNDS,
    TIMEOUT_SECONDS,
    WARM_UP_SECONDS,
    pgbench,
)
from tests.benchmarks.processor_time import cpu_seconds, cpu_us_each
from tests.support.stack import Stack, stack

LICENSES = 10_000
WANTED_PER_SECOND = 2_000
RATIO_WANTED = 1.0
REFRESH = Subjects().request("licenses", "refresh_license")
INSERT = """
    INSERT INTO licenses.licenses (license_id, version, customer, product, status, seats, features, instances,
        grace_days, offline_days, suspended_by_operator, suspended_by_subscription, key_hash, key_hint,
        key_number, key_shown, file_sequence, issued_at)
    VALUES (%s, 1, 'user_7', 'server', 'active', 25, '{"projects": 100}', 1, 14, 30, false, false, %s,
            'ABCDEF', 1, true, 1, now())
"""
ACTIVATE = """
    INSERT INTO licenses.activations (license_id, instance_id, activated_at, refreshed_at, not_after,
        grace_until)
    SELECT license_id, 'host-1', now(), now(), now() + interval '30 days', now() + interval '44 days'
    FROM licenses.licenses;
    ANALYZE licenses.licenses, licenses.activations;
"""
# What one refresh reads and writes, as a handler without groups would do it, without the signature.
FLOOR = r"""
\set number random(1, {licenses})
\set chance random(1, 1000000000000)
BEGIN;
SELECT fingerprint, outcome FROM licenses.inbox
    WHERE command_id = (:client_id)::text || '-' || (:chance)::text;
SELECT * FROM licenses.licenses WHERE license_id = 'lic_' || (:number)::text FOR UPDATE;
SELECT * FROM licenses.activations WHERE license_id = 'lic_' || (:number)::text;
SELECT kid FROM licenses.signing_keys WHERE status = 'active';
UPDATE licenses.licenses SET file_sequence = file_sequence + 1 WHERE license_id = 'lic_' || (:number)::text;
UPDATE licenses.activations SET refreshed_at = now(), not_after = now() + interval '30 days'
    WHERE license_id = 'lic_' || (:number)::text AND instance_id = 'host-1';
INSERT INTO licenses.inbox (command_id, name, fingerprint, body, received_at, outcome)
    VALUES ((:client_id)::text || '-' || (:chance)::text, 'refresh_license', '\x00', '{{}}', now(),
            '"{outcome}"');
COMMIT;
"""
OUTCOME = "x" * 1_900


def run() -> dict[str, Any]:
    """By turns with the floor, so that both see the same noise."""
    with stack() as running, running.worker("licenses"):
        keys = [format_key(number.to_bytes(KEY_BYTES)) for number in range(LICENSES)]
        _fill(running, keys)
        return uvloop.run(_measure(running, keys))


def _fill(running: Stack, keys: list[str]) -> None:
    rows = [(f"lic_{number}", hash_key(key)) for number, key in enumerate(keys, start=1)]
    with psycopg.connect(running.owner_url) as connection:
        connection.cursor().executemany(INSERT, rows)
        connection.execute(ACTIVATE)


def _cpu_seconds(running: Stack) -> dict[str, float]:
    return cpu_seconds(running) | {"load": time.process_time()}


async def _measure(running: Stack, keys: list[str]) -> dict[str, Any]:
    caller = await connect(running.nats.users["client"], "caller")
    numbers = count(1)
    refreshed, used = 0, list[dict[str, float]]()

    async def rate(seconds: float) -> float:
        nonlocal refreshed
        before = _cpu_seconds(running)
        answered, until = 0, time.perf_counter() + seconds

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < until:
                body = {
                    "command_id": f"bench-{next(numbers)}",
                    "license_key": random.choice(keys),
                    "instance_id": "host-1",
                }
                reply = await caller.request(REFRESH, orjson.dumps(body), timeout=TIMEOUT_SECONDS)
                if b'"status":"succeeded"' not in reply.data[:200]:
                    raise AssertionError(reply.data)
                answered += 1

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(CALLERS)))
        elapsed = time.perf_counter() - started
        refreshed += answered
        used.append({name: seconds - before[name] for name, seconds in _cpu_seconds(running).items()})
        return answered / elapsed

    await rate(WARM_UP_SECONDS)
    refreshed = 0
    used.clear()
    script = FLOOR.format(licenses=LICENSES, outcome=OUTCOME)
    rates, floors = [], []
    for _ in range(ROUNDS):
        floors.append(pgbench(running.owner_url, script, ROUND_SECONDS))
        rates.append(await rate(ROUND_SECONDS))
    await caller.close()
    return {
        "benchmark": "refresh_license",
        "ratio": round(median(rates) / median(floors), 2),
        "wanted": RATIO_WANTED,
        "refreshes_per_second": round(median(rates)),
        "wanted_per_second": WANTED_PER_SECOND,
        "floor_per_second": round(median(floors)),
        "cpu_us_per_refresh": cpu_us_each(used, refreshed),
        "callers": CALLERS,
    }
