"""Consumption with five million entries in the ledger, compared with an empty ledger."""

import os
from statistics import median
from typing import Any

import psycopg
import uvloop

from tests.benchmarks.consuming import BALANCES, CONSUME, WARM_UP_SECONDS, balances_filled, calling
from tests.support.stack import Stack

RATIO_WANTED = 0.9
ROUNDS = 5
ENTRIES = int(os.environ.get("BENCH_ENTRIES", "5000000"))
AT_ONCE = 500_000
ADD_ENTRIES = """
    INSERT INTO consumables.entries
        (entry_id, account, feature, grant_id, kind, quantity, consumer, caused_by, occurred_at)
    SELECT 'entry_00' || lpad(n::text, 12, '0'), 'customer:user_' || n %% %(balances)s + 1, 'hours',
           'grant_' || n %% %(balances)s + 1, 'consumed', 1, 'user_' || n %% %(balances)s + 1,
           'history-' || n, now() - interval '1 day' + n * interval '1 millisecond'
    FROM generate_series(%(first)s, %(last)s) AS n
"""


def run() -> dict[str, Any]:
    """By turns on an empty ledger and on a full one, so that both see the same noise."""
    with balances_filled(BALANCES) as empty, balances_filled(BALANCES) as full:
        _fill(full.owner_url)
        return uvloop.run(_measure(empty, full))


async def _measure(empty: Stack, full: Stack) -> dict[str, Any]:
    async with calling(empty, BALANCES) as on_empty, calling(full, BALANCES) as on_full:
        rates: dict[str, list[float]] = {"empty": [], "full": []}
        for bench in (on_empty, on_full):
            await bench.rate(bench.one, CONSUME, WARM_UP_SECONDS)
        for _ in range(ROUNDS):
            rates["empty"].append(await on_empty.rate(on_empty.one, CONSUME))
            rates["full"].append(await on_full.rate(on_full.one, CONSUME))
    return {
        "benchmark": "consume_with_history",
        "ratio": round(median(rates["full"]) / median(rates["empty"]), 2),
        "wanted": RATIO_WANTED,
        "consumptions_per_second": round(median(rates["full"])),
        "with_an_empty_ledger_per_second": round(median(rates["empty"])),
        "entries": ENTRIES,
    }


def _fill(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for first in range(1, ENTRIES + 1, AT_ONCE):
            last = min(first + AT_ONCE - 1, ENTRIES)
            owner.execute(ADD_ENTRIES, {"balances": BALANCES, "first": first, "last": last})
        owner.execute("VACUUM ANALYZE consumables.entries")
        owner.execute("CHECKPOINT")
