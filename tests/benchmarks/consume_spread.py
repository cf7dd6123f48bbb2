"""Consumptions per second over 10,000 balances, one at a time by each of 64 callers."""

from statistics import median
from typing import Any

from tests.benchmarks.consuming import BALANCES, CALLERS, CONSUME, ROUNDS, WARM_UP_SECONDS, Bench, measure

RATIO_WANTED = 1.1


def run() -> dict[str, Any]:
    """By turns with the floor, so that both see the same noise."""
    found: dict[str, Any] = measure(BALANCES, _measure)
    return found


async def _measure(bench: Bench) -> dict[str, Any]:
    await bench.rate(bench.one, CONSUME, WARM_UP_SECONDS)
    rates, floors = [], []
    for _ in range(ROUNDS):
        floors.append(bench.floor())
        rates.append(await bench.rate(bench.one, CONSUME))
    return {
        "benchmark": "consume_spread",
        "ratio": round(median(rates) / median(floors), 2),
        "wanted": RATIO_WANTED,
        "consumptions_per_second": round(median(rates)),
        "floor_per_second": round(median(floors)),
        "callers": CALLERS,
    }
