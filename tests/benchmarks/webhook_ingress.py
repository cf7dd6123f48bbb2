"""Signed webhooks committed per second, compared with a route that answers 200 without reading them."""

import json
import subprocess
import sys
from statistics import median
from typing import Any

import psycopg

from sandbox.ports import HOST
from services.webhooks.ingress.http_ingress import PATH
from shared.persistence.migrations import ROOT
from tests.benchmarks.processor_time import cpu_seconds, cpu_us_each
from tests.benchmarks.webhook_worker import FLOOR
from tests.support.stack import WEBHOOK_SECRET, Stack, stack

ROUNDS = 3
"""Floor and ingress take turns, so that both see the same noise; the median counts."""
ROUND_SECONDS = 4.0
ROUND_EVENTS = 30_000
WARM_UP_EVENTS = 3_000
RATIO_WANTED = 0.5


def run() -> dict[str, Any]:
    """Measure on durable servers; the worker's relay publishes everything meanwhile."""
    settings = {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    module = "tests.benchmarks.webhook_worker"
    with stack() as running, running.worker("webhooks", settings, module=module) as port:
        return _measure(running, port)


def _measure(running: Stack, port: int) -> dict[str, Any]:
    sent = _load(port, PATH, 0, WARM_UP_EVENTS)["answered"]
    first = WARM_UP_EVENTS
    floors, ingresses = [], []
    for _ in range(ROUNDS):
        floors.append(_watched(running, port, FLOOR, first))
        ingresses.append(_watched(running, port, PATH, first))
        first += ROUND_EVENTS
    answered = sum(round_["answered"] for round_ in ingresses)
    floor = median(round_["per_second"] for round_ in floors)
    committed = median(round_["per_second"] for round_ in ingresses)
    return {
        "benchmark": "webhook_ingress",
        "ratio": round(committed / floor, 3),
        "wanted": RATIO_WANTED,
        "committed_per_second": round(committed),
        "floor_per_second": round(floor),
        "p50_ms": median(round_["p50_ms"] for round_ in ingresses),
        "p99_ms": median(round_["p99_ms"] for round_ in ingresses),
        "cpu_us_per_event": _cpu_us_per_event(ingresses),
        "floor_cpu_us_per_event": _cpu_us_per_event(floors),
        "refused": sum(round_["refused"] for round_ in [*floors, *ingresses]),
        "lost": max(0, sent + answered - _stored(running)),
    }


def _watched(running: Stack, port: int, path: str, first: int) -> dict[str, Any]:
    """Run one round and measure the CPU of all programs."""
    before = cpu_seconds(running)
    found = _load(port, path, first, ROUND_EVENTS)
    used = {name: seconds - before[name] for name, seconds in cpu_seconds(running).items()}
    return found | {"used": used | {"load": found["cpu_seconds"]}}


def _cpu_us_per_event(rounds: list[dict[str, Any]]) -> dict[str, int]:
    answered = sum(round_["answered"] for round_ in rounds)
    return cpu_us_each([round_["used"] for round_ in rounds], answered)


def _load(port: int, path: str, first: int, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.webhook_load"]
    arguments = [HOST, str(port), WEBHOOK_SECRET, path, str(first), str(count), str(ROUND_SECONDS)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _stored(running: Stack) -> int:
    with psycopg.connect(running.owner_url) as connection:
        row = connection.execute("SELECT count(*) FROM webhooks.stripe_events").fetchone()
    return row[0] if row else 0
