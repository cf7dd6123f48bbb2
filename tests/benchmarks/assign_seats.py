"""Seats assigned per second: one by one on one team, compared with Postgres alone, and in batches.

The floor is `pgbench` with 16 clients and prepared statements on tables of the same form: each transaction
finds and locks the team, looks for the address, writes the seat, the team, the inbox row and two events.
"""

import asyncio
import itertools
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from nats.aio.client import Client

from sandbox.postgres import program
from shared.messaging.nats_connection import connect
from tallystick.subjects import Subjects
from tests.support.stack import Stack, stack

TEAM = "team_hot"
IN_FLIGHT = 64
ROUNDS = 3
"""Floor and service take turns, so that both see the same noise; the median counts."""
ROUND_SECONDS = 3.0
WARM_UP_SECONDS = 1.0
RATIO_WANTED = 1.2
BATCH_SEATS, BATCHES = 500, 20
BATCHES_IN_FLIGHT = 2
BATCHED_WANTED = 3_000
FLOOR_CLIENTS = 16
TIMEOUT_SECONDS = 30
ASSIGN = Subjects().request("seats", "assign_seat")
ASSIGN_MANY = Subjects().request("seats", "assign_seats")
SEATS = 1_000_000

ADD_TEAM = """
    INSERT INTO {schema}.teams (team_id, version, subscription_id, customer, strategy, owner_seat, quantity,
        minimum, capacity, holders, occupied, excess, billing_manager, manager_from, suspended, status,
        closing, opened_at)
    VALUES (%(team)s, 1, 'sub_' || %(team)s, 'organization_acme', 'per_seat', 'free', %(seats)s, 1,
        %(seats)s + 1, 0, 1, 0, 'organization_acme', 'customer', false, 'open', false, now())
"""
FLOOR_TABLES = """
    CREATE SCHEMA floor;
    CREATE TABLE floor.inbox (LIKE seats.inbox INCLUDING ALL);
    CREATE TABLE floor.outbox (LIKE seats.outbox INCLUDING ALL);
    CREATE TABLE floor.teams (LIKE seats.teams INCLUDING ALL);
    CREATE TABLE floor.seats (LIKE seats.seats INCLUDING ALL);
"""
BODY, OUTCOME, SEAT_EVENT, TEAM_EVENT = 160, 620, 760, 900
"""Characters of what one `assign_seat` writes, as the service does."""
FLOOR_TRANSACTION = f"""
\\set number random(1, 1000000000000000)
BEGIN;
SELECT fingerprint, outcome FROM floor.inbox WHERE command_id = 'command_' || :number;
SELECT * FROM floor.teams WHERE team_id = '{TEAM}' FOR UPDATE;
SELECT email, member FROM floor.seats
    WHERE team_id = '{TEAM}' AND status <> 'revoked' AND email = :number || '@example.com';
INSERT INTO floor.seats (seat_id, version, team_id, subscription_id, customer, status, email, multiplier,
        metadata, token_hash, invited_at, expires_at)
    VALUES ('seat_' || :number, 1, '{TEAM}', 'sub_hot', 'organization_acme', 'pending',
        :number || '@example.com', 1, '{{}}', sha256((:number || 'token')::bytea), now(),
        now() + interval '7 days');
UPDATE floor.teams SET holders = holders + 1, occupied = occupied + 1, version = version + 1
    WHERE team_id = '{TEAM}';
INSERT INTO floor.inbox (command_id, name, fingerprint, body, received_at, outcome)
    VALUES ('command_' || :number, 'assign_seat', sha256((:number || 'print')::bytea),
        to_json(repeat('x', {BODY})), now(), to_json(repeat('x', {OUTCOME})));
INSERT INTO floor.outbox (message_id, stream, subject, headers, payload, entity, entity_id, version,
        caused_by, occurred_at)
    VALUES ('evt_a' || :number, 'BILLING_CHANGE_FEED',
        'billing.change_feed.seat.organization_acme.assignedV1',
        '{{"ce-id": "evt", "ce-type": "billing.seat.assignedV1"}}',
        convert_to(repeat('x', {SEAT_EVENT}), 'UTF8'), 'seat', 'seat_' || :number, 1,
        'command_' || :number, now()),
    ('evt_b' || :number, 'BILLING_CHANGE_FEED',
        'billing.change_feed.billing_team.organization_acme.changedV1',
        '{{"ce-id": "evt", "ce-type": "billing.billing_team.changedV1"}}',
        convert_to(repeat('x', {TEAM_EVENT}), 'UTF8'), 'billing_team', 'team_' || :number, 1,
        'command_' || :number, now());
COMMIT;
"""


def run() -> dict[str, Any]:
    """Measure on durable servers; the worker's relay publishes everything meanwhile."""
    with stack() as running, running.worker("seats"):
        with psycopg.connect(running.owner_url) as connection:
            connection.execute(FLOOR_TABLES)
            for schema, team in (("seats", TEAM), ("floor", TEAM), ("seats", "team_batched")):
                statement = ADD_TEAM.format(schema=schema)
                connection.execute(statement, {"team": team, "seats": SEATS})
        return asyncio.run(_measure(running))


async def _measure(running: Stack) -> dict[str, Any]:
    caller = await connect(running.nats.users["client"], "caller")
    numbers = itertools.count()
    try:
        await _assigned_a_second(caller, numbers, WARM_UP_SECONDS)
        floors, rates = [], []
        for _ in range(ROUNDS):
            floors.append(await asyncio.to_thread(_floor, running.owner_url))
            rates.append(await _assigned_a_second(caller, numbers, ROUND_SECONDS))
        batched = await _batched_a_second(caller)
    finally:
        await caller.close()
    return {
        "benchmark": "assign_seats",
        "ratio": round(median(rates) / median(floors), 3),
        "wanted": RATIO_WANTED,
        "assigned_per_second": round(median(rates)),
        "floor_per_second": round(median(floors)),
        "in_flight": IN_FLIGHT,
        "batched_per_second": round(batched),
        "batched_wanted": BATCHED_WANTED,
    }


async def _assigned_a_second(caller: Client, numbers: "itertools.count[int]", seconds: float) -> float:
    """Return seats assigned per second one by one, with a constant number of requests in flight."""
    assigned, until = 0, time.perf_counter() + seconds

    async def assign() -> None:
        nonlocal assigned
        while time.perf_counter() < until:
            number = next(numbers)
            body = {"command_id": f"one-{number}", "team_id": TEAM, "email": f"member{number}@example.com"}
            answer = await caller.request(ASSIGN, json.dumps(body).encode(), timeout=TIMEOUT_SECONDS)
            _check(answer.data)
            assigned += 1

    started = time.perf_counter()
    await asyncio.gather(*(assign() for _ in range(IN_FLIGHT)))
    return assigned / (time.perf_counter() - started)


async def _batched_a_second(caller: Client) -> float:
    """Return seats assigned per second in batches, a few of which are in flight."""
    places = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def assign(batch: int) -> None:
        seats = [{"email": f"batch{batch}-{number}@example.com"} for number in range(BATCH_SEATS)]
        body = {"command_id": f"many-{batch}", "team_id": "team_batched", "seats": seats}
        async with places:
            answer = await caller.request(ASSIGN_MANY, json.dumps(body).encode(), timeout=TIMEOUT_SECONDS)
        if len(_check(answer.data)["assigned"]) != BATCH_SEATS:
            raise AssertionError(f"batch {batch} was not assigned whole")

    started = time.perf_counter()
    await asyncio.gather(*map(assign, range(BATCHES)))
    return BATCHES * BATCH_SEATS / (time.perf_counter() - started)


def _check(answer: bytes) -> dict[str, Any]:
    outcome = json.loads(answer)
    if outcome["status"] != "succeeded":
        raise AssertionError(f"not assigned: {outcome}")
    result: dict[str, Any] = outcome["result"]
    return result


def _floor(owner_url: str) -> float:
    """Return transactions per second of `pgbench` on a hot team of its own."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "assign.sql"
        script.write_text(FLOOR_TRANSACTION)
        options = ["-n", "-M", "prepared", "-c", str(FLOOR_CLIENTS), "-j", "2", "-T", str(int(ROUND_SECONDS))]
        command = [program("pgbench"), *options, "-f", str(script), owner_url]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([0-9.]+)", said)
    if found is None:
        raise AssertionError(said)
    return float(found[1])
