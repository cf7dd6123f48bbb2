"""How many signed webhooks a second are committed, against the same server answering 200 without looking at them."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg

from sandbox.child import Child, Program
from sandbox.ports import HOST, free_port
from sandbox.postgres import Postgres
from services.webhooks.ingress import PATH
from shared.logs import set_up_logs
from shared.migrations import service_names
from shared.provision import provision_database, provision_nats, role_name
from tests.benchmarks.webhook_worker import FLOOR
from tests.support.servers import embedded_nats, embedded_postgres, scratch_directory, with_user

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_of_the_benchmark"
PASSWORD = "role-of-the-benchmark"
ROUNDS = 3
"""Floor and ingress take turns, so that both see the same noise; the median counts."""
ROUND_SECONDS = 4.0
ROUND_EVENTS = 30_000
WARM_UP_EVENTS = 3_000
READY_SECONDS = 30.0
RATIO_WANTED = 0.5


def run() -> dict[str, Any]:
    """Measure on durable, embedded servers."""
    set_up_logs("benchmark", style="console", level="warning")
    with embedded_postgres(durable=True) as postgres, embedded_nats() as (nats, nats_child):
        owner = postgres.url("postgres")
        provision_database(owner, dict.fromkeys(service_names(), PASSWORD))
        asyncio.run(
            provision_nats(
                nats.url("admin"),
                prefix="billing",
                webhook_subject="tunnel.incoming-webhook-events.stripe",
                monitor_url=nats.monitor_url,
            )
        )
        database_url = with_user(owner, role_name("webhooks"), PASSWORD)
        with _worker(database_url, nats.url("webhooks")) as (port, worker):
            pids = {"worker": worker.pid, "postgres": _postmaster(postgres), "nats": nats_child.pid}
            return _measure(port, owner, pids)


def _measure(port: int, owner: str, pids: dict[str, int]) -> dict[str, Any]:
    _load(port, PATH, 0, WARM_UP_EVENTS)
    first = WARM_UP_EVENTS
    floors, ingresses = [], []
    used = dict.fromkeys(pids, 0.0)
    for _ in range(ROUNDS):
        floors.append(_load(port, FLOOR, first, ROUND_EVENTS))
        before = _cpu_seconds(pids)
        ingresses.append(_load(port, PATH, first, ROUND_EVENTS))
        for name, seconds in _cpu_seconds(pids).items():
            used[name] += seconds - before[name]
        first += ROUND_EVENTS
    sent = sum(round_["answered"] for round_ in ingresses)
    refused = sum(round_["refused"] for round_ in [*floors, *ingresses])
    with psycopg.connect(owner) as connection:
        stored = connection.execute("SELECT count(*) FROM webhooks.stripe_events").fetchone()
    floor = median(round_["per_second"] for round_ in floors)
    committed = median(round_["per_second"] for round_ in ingresses)
    return {
        "benchmark": "webhook_ingress",
        "ratio": round(committed / floor, 3),
        "wanted": RATIO_WANTED,
        "committed_per_second": committed,
        "floor_per_second": floor,
        "p50_ms": median(round_["p50_ms"] for round_ in ingresses),
        "p99_ms": median(round_["p99_ms"] for round_ in ingresses),
        "cpu_us_per_event": {name: round(seconds / sent * 1e6) for name, seconds in used.items()},
        "lost": sent + WARM_UP_EVENTS - (stored[0] if stored else 0),
        "refused": refused,
        "published_after_seconds": _published_after(port),
    }


def _load(port: int, path: str, first: int, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.webhook_load"]
    arguments = [HOST, str(port), SECRET, path, str(first), str(count), str(ROUND_SECONDS)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    """CPU used so far by each program and its children."""
    found = dict.fromkeys(pids, 0.0)
    for name, pid in pids.items():
        program = psutil.Process(pid)
        for process in [program, *program.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[name] += times.user + times.system
    return found


def _postmaster(postgres: Postgres) -> int:
    return int((postgres.data / "postmaster.pid").read_text().split()[0])


def _published_after(port: int) -> float:
    """How long after the last answer the relay had published everything."""
    started = time.perf_counter()
    while True:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        lag = next(line for line in lines if line.startswith("tallystick_outbox_lag_seconds{"))
        if float(lag.split()[-1]) == 0:
            return round(time.perf_counter() - started, 2)
        time.sleep(0.05)


@contextmanager
def _worker(database_url: str, nats_url: str) -> Iterator[tuple[int, Child]]:
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "HEALTH_PORT": str(port),
        "LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, *_profiling(), "-m", "tests.benchmarks.webhook_worker"]
    with scratch_directory("bench") as directory, (directory / "log").open("wb") as log:
        worker = Child(Program("webhooks", command, environment, directory=ROOT), log)
        try:
            _wait_until_ready(port)
            yield port, worker
        finally:
            worker.stop()
            sys.stderr.write((directory / "log").read_text())


def _profiling() -> list[str]:
    target = os.environ.get("BENCH_PROFILE")
    return ["-m", "cProfile", "-o", target] if target else []


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/ready")
            return
        time.sleep(0.05)
    raise TimeoutError("the worker does not become ready")


if __name__ == "__main__":
    print(json.dumps(run()))
