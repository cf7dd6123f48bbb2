"""How fast committed events reach the feed's consumers, and their delay at half that rate."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from statistics import quantiles
from typing import Any

import uvloop

import tallystick
from shared.persistence.migrations import ROOT
from tests.support.stack import Stack, stack

EVENTS = 20_000
PACED_SECONDS = 6.0
WANTED_PER_SECOND = 5_000
WANTED_P99_MS = 250


def run() -> dict[str, Any]:
    """Commit events as fast as they go, then at half the wanted rate; a worker's relay publishes them."""
    with stack() as running, running.worker("subscriptions"):
        return uvloop.run(_measure(running))


async def _measure(running: Stack) -> dict[str, Any]:
    async with tallystick.connect(running.nats.users["client"]) as billing:
        fast = await _follow(billing, running, EVENTS, per_second=0)
        paced_rate = WANTED_PER_SECOND // 2
        paced = await _follow(billing, running, int(paced_rate * PACED_SECONDS), per_second=paced_rate)
    return {
        "benchmark": "feed",
        "events_per_second": round(fast["per_second"]),
        "wanted_per_second": WANTED_PER_SECOND,
        "ratio": round(fast["per_second"] / fast["committed_per_second"], 3),
        "committed_per_second": round(fast["committed_per_second"]),
        "paced_per_second": paced_rate,
        "paced_p50_ms": round(paced["p50_ms"], 1),
        "paced_p99_ms": round(paced["p99_ms"], 1),
        "wanted_p99_ms": WANTED_P99_MS,
    }


async def _follow(
    billing: tallystick.Client, running: Stack, events: int, *, per_second: int
) -> dict[str, float]:
    lags_ms: list[float] = []
    async with billing.events(entity="subscription", start="new") as feed:
        started = time.time()
        command = [sys.executable, "-m", "tests.benchmarks.feed_writer"]
        arguments = [running.role_url("subscriptions"), str(events), str(per_second)]
        writer = await asyncio.create_subprocess_exec(*command, *arguments, cwd=ROOT, stdout=PIPE)
        async for event in feed:
            # The writer stamps `ce-time` right before the commit.
            lags_ms.append((time.time() - float(event.headers["Bench-Written-At"])) * 1000)
            if len(lags_ms) == events:
                break
        seconds = time.time() - started
        written = json.loads((await writer.communicate())[0])
    cuts = quantiles(lags_ms, n=100)
    return {
        "per_second": events / (seconds - written["started_after"]),
        "committed_per_second": written["per_second"],
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
    }
