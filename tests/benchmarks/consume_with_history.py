"""How much slower consuming is with five million entries in the ledger than with none."""

import os
from statistics import median
from typing import Any

import psycopg

from tests.benchmarks.consuming import BALANCES, CONSUME, ROUNDS, WARM_UP_SECONDS, Bench, measure

RATIO_WANTED = 0.9
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
    """The same load before and after the ledger was filled, on all balances."""
    found: dict[str, Any] = measure(BALANCES, _measure)
    return found


async def _measure(bench: Bench) -> dict[str, Any]:
    await bench.rate(bench.one, CONSUME, WARM_UP_SECONDS)
    empty = [await bench.rate(bench.one, CONSUME) for _ in range(ROUNDS)]
    _fill(bench.running.owner_url)
    await bench.rate(bench.one, CONSUME, WARM_UP_SECONDS)
    full = [await bench.rate(bench.one, CONSUME) for _ in range(ROUNDS)]
    return {
        "benchmark": "consume_with_history",
        "ratio": round(median(full) / median(empty), 2),
        "wanted": RATIO_WANTED,
        "consumptions_per_second": round(median(full)),
        "with_an_empty_ledger_per_second": round(median(empty)),
        "entries": ENTRIES,
    }


def _fill(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for first in range(1, ENTRIES + 1, AT_ONCE):
            last = min(first + AT_ONCE - 1, ENTRIES)
            owner.execute(ADD_ENTRIES, {"balances": BALANCES, "first": first, "last": last})
        owner.execute("VACUUM ANALYZE consumables.entries")
        owner.execute("CHECKPOINT")
