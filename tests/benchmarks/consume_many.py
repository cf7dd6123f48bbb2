"""Consumptions per second of one balance, a hundred in each message."""

from statistics import median
from typing import Any

import orjson

from tests.benchmarks.consuming import CONSUME_MANY, ROUNDS, WARM_UP_SECONDS, Bench, measure

RATIO_WANTED = 10.0
ITEMS = 100
"""In each message."""


def run() -> dict[str, Any]:
    """By turns with the floor of single consumptions."""
    found: dict[str, Any] = measure(1, _measure)
    return found


async def _measure(bench: Bench) -> dict[str, Any]:
    def message(number: int) -> bytes:
        items = b",".join(bench.one(number * ITEMS + item) for item in range(ITEMS))
        return b'{"command_id":%b,"items":[%b]}' % (orjson.dumps(f"message-{number}"), items)

    await bench.rate(message, CONSUME_MANY, WARM_UP_SECONDS)
    rates, floors = [], []
    for _ in range(ROUNDS):
        floors.append(bench.floor())
        rates.append(ITEMS * await bench.rate(message, CONSUME_MANY))
    return {
        "benchmark": "consume_many",
        "ratio": round(median(rates) / median(floors), 2),
        "wanted": RATIO_WANTED,
        "consumptions_per_second": round(median(rates)),
        "floor_per_second": round(median(floors)),
        "items_in_a_message": ITEMS,
    }
