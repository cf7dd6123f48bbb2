"""Latency of a consumption on an idle system, compared with a bare round trip and a bare commit."""

from typing import Any

from tests.benchmarks.consuming import CONSUME, TIMEOUT_SECONDS, Bench, measure
from tests.benchmarks.floors import echoing, median_ms, nats_round_trip_ms, one_row_commit_ms

TIMES_FLOOR_WANTED = 4.0


def run() -> dict[str, Any]:
    """The floors first, then the consumptions, all from one caller."""
    found: dict[str, Any] = measure(1, _measure)
    return found


async def _measure(bench: Bench) -> dict[str, Any]:
    async with echoing(bench.running.nats.users["subscriptions"]):
        round_trip_ms = await nats_round_trip_ms(bench.caller)
    commit_ms = await one_row_commit_ms(bench.running.owner_url)
    consume_ms = await median_ms(
        lambda _: bench.caller.request(CONSUME, bench.one(next(bench.numbers)), timeout=TIMEOUT_SECONDS)
    )
    return {
        "benchmark": "consume_idle",
        "ratio": round(consume_ms / (round_trip_ms + commit_ms), 2),
        "wanted": TIMES_FLOOR_WANTED,
        "lower_is_better": True,
        "consume_p50_ms": round(consume_ms, 2),
        "nats_round_trip_p50_ms": round(round_trip_ms, 2),
        "one_row_commit_p50_ms": round(commit_ms, 2),
    }
