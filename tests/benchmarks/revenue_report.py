"""Time of `get_revenue` over 24 months, with movements of every kind on every day in two currencies."""

import asyncio
import json
import time
from statistics import median
from typing import Any

import psycopg

from shared.messaging.nats_connection import connect
from tests.support.stack import stack

WANTED_MILLISECONDS = 200.0
TIMES = 20
FILL = """
    INSERT INTO monitoring.revenue_days (day, currency, kind, denominator, numerator, customers)
    SELECT day, currency, kind, denominator, 4900 * denominator + extract(doy FROM day)::int, 1
    FROM generate_series('2024-01-01'::date, '2026-01-01', '1 day') AS day,
         unnest(ARRAY['eur', 'usd']) AS currency,
         unnest(ARRAY['new', 'expansion', 'contraction', 'churn', 'reactivation', 'trials_started',
                      'trials_converted', 'collected', 'refunded', 'past_due', 'recovered']) AS kind,
         unnest(ARRAY[1, 3, 12]) AS denominator
"""


def run() -> dict[str, Any]:
    """Ask by month, and by day for comparison."""
    with stack() as running:
        with psycopg.connect(running.owner_url, autocommit=True) as owner:
            owner.execute(FILL)
        with running.worker("monitoring"):
            by_month = asyncio.run(_ask(running.nats.users["client"], "month"))
            by_day = asyncio.run(_ask(running.nats.users["client"], "day"))
    return {
        "benchmark": "revenue_report",
        "milliseconds": round(by_month, 1),
        "milliseconds_by_day": round(by_day, 1),
        "wanted_milliseconds": WANTED_MILLISECONDS,
        "ratio": round(by_month / WANTED_MILLISECONDS, 2),
        "wanted": 1.0,
        "lower_is_better": True,
    }


async def _ask(url: str, by: str) -> float:
    client = await connect(url, "bench")
    question = {"since": "2024-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "by": by}
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        reply = await client.request(
            "billing.requests.monitoring.get_revenue", json.dumps(question).encode(), timeout=60
        )
        taken.append((time.perf_counter() - started) * 1_000)
        assert json.loads(reply.data)["status"] == "succeeded"
    await client.close()
    return median(taken)
