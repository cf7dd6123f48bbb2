"""Rate at which one tick renews the units of many seats, with ledger, events and bucket."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.benchmarks.ticking import tick_until_done
from tests.support.due_seat_grants import make_seats
from tests.support.stack import stack

FEW, MANY = 10_000, 100_000
FEW_START, MANY_START = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC)
FEW_ARE_DUE, MANY_ARE_DUE = datetime(2026, 2, 10, tzinfo=UTC), datetime(2026, 2, 20, tzinfo=UTC)
WANTED_PER_SECOND = 20_000
FLOOR_ROWS = 20_000
FLOOR_BATCH = 2_000

STILL_DUE = "SELECT count(*) FROM consumables.allotments WHERE next_at <= %s"
FLOOR = """
    WITH due AS (SELECT n FROM generate_series(%(first)s::int, %(last)s) AS n),
    written AS (
        UPDATE floor_balances SET remaining = 10, version = version + 1
        FROM due WHERE account = 'seat:seat_' || n
    )
    INSERT INTO floor_entries SELECT 'entry_' || n, 'seat:seat_' || n, 10, %(payload)s FROM due
"""
"""One balance, one entry with an event's weight: the least that a grant can be, in one statement as well."""


def run() -> dict[str, Any]:
    """Renew few, then many, by one tick each."""
    with stack() as running:
        make_seats(running.owner_url, "few", FEW, FEW_START)
        make_seats(running.owner_url, "many", MANY, MANY_START)
        floor = _floor(running.owner_url)
        with running.worker("consumables"):
            few = asyncio.run(tick_until_done(running, "consumables", "renew_grants", FEW_ARE_DUE, STILL_DUE))
            many = asyncio.run(
                tick_until_done(running, "consumables", "renew_grants", MANY_ARE_DUE, STILL_DUE)
            )
    per_second = MANY / many.seconds
    return {
        "benchmark": "grant_renewal",
        "seats": MANY,
        "per_second": round(per_second),
        "wanted_per_second": WANTED_PER_SECOND,
        "ratio": round(per_second / floor, 3),
        "floor_per_second": round(floor),
        "per_second_of_few": round(FEW / few.seconds),
        "time_for_ten_times_as_many": round(many.seconds / few.seconds, 2),
        "peak_mib_of_few": round(few.peak_mib),
        "peak_mib": round(many.peak_mib),
    }


def _floor(owner_url: str) -> float:
    """Return grants per second if each were one update of a balance and one row of the size of an event."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE floor_balances (account text PRIMARY KEY, remaining bigint, version bigint)"
            " WITH (fillfactor = 60)"
        )
        connection.execute(
            "CREATE TABLE floor_entries (entry_id text PRIMARY KEY, account text, quantity bigint, body text)"
        )
        connection.execute(
            "INSERT INTO floor_balances SELECT 'seat:seat_' || n, 0, 1 FROM generate_series(1, %s) AS n",
            (FLOOR_ROWS,),
        )
        connection.execute("VACUUM ANALYZE floor_balances")
        started = time.perf_counter()
        for first in range(1, FLOOR_ROWS + 1, FLOOR_BATCH):
            values = {"first": first, "last": first + FLOOR_BATCH - 1, "payload": "x" * 900}
            connection.execute(FLOOR, values)
        return FLOOR_ROWS / (time.perf_counter() - started)
