"""`./dev up`: everything starts, is announced, keeps its data over a restart, and stops at the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import psutil
import psycopg
import pytest

from sandbox.endpoints import PORTS_USED
from sandbox.nats import password_owners
from sandbox.ports import free_port, is_free
from sandbox.workers import services_with_tables, worker_names

ROOT = Path(__file__).parents[2]
# Slower than the 20 s that are promised for a warm start: tests share their processors.
START_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 40.0

pytestmark = pytest.mark.timeout(240)


class RunningSandbox:
    """A running `./dev up` and its output so far."""

    def __init__(self, directory: Path, base_port: int) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.up", "--data", str(directory), "--port", str(base_port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, beginning: str) -> str:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith(beginning):
                return line
            assert time.monotonic() < deadline, self.said
        raise AssertionError("\n".join(["it ended early", *self.said]))

    def endpoints(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "endpoints.json").read_text())
        return content

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self, name: str) -> psutil.Process:
        """The process of a worker, among others that may be ending just now."""
        for process in self.below():
            with suppress(psutil.NoSuchProcess):
                if f"services.{name}.app" in process.cmdline():
                    return process
        raise AssertionError(f"no process of {name}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        remaining, _ = self.process.communicate(timeout=STOP_TIMEOUT_SECONDS)
        self.said += (remaining or "").splitlines()
        return self.process.returncode


@pytest.fixture
def base_port() -> int:
    while True:
        base = free_port()
        if base + PORTS_USED < 65_535 and all(is_free(base + offset) for offset in range(PORTS_USED)):
            return base


@pytest.fixture
def sandbox(tmp_path: Path, base_port: int) -> Iterator[RunningSandbox]:
    running = RunningSandbox(tmp_path / "data", base_port)
    yield running
    running.stop(signal.SIGTERM)


def running_still(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


async def test_it_starts_tells_restarts_stops_and_keeps(sandbox: RunningSandbox, base_port: int) -> None:
    sandbox.wait_for("ready")
    endpoints = sandbox.endpoints()
    assert (sandbox.directory / "endpoints.json").stat().st_mode & 0o777 == 0o600
    assert set(endpoints["nats_users"]) == set(password_owners())
    assert set(endpoints["database_roles"]) == set(services_with_tables())
    assert endpoints["nats"] == endpoints["nats_users"]["client"]
    assert endpoints["webhooks"] == f"http://127.0.0.1:{base_port + 1}/api/v1/webhooks/stripe"
    assert endpoints["stripe_secret_key"].startswith("sk_test_")
    assert endpoints["stripe_webhook_secret"].startswith("whsec_")
    said = "\n".join(sandbox.said)
    assert f"{endpoints['stripe']}/" in said, "no checkout page was offered"

    for user, url in endpoints["nats_users"].items():
        connection = await nats.connect(url)
        assert connection.is_connected, user
        await connection.close()
    for service, url in endpoints["database_roles"].items():
        with psycopg.connect(url) as database:
            assert database.execute("SELECT current_user").fetchone() == (f"tallystick_{service}",)
    with psycopg.connect(endpoints["database"]) as database:
        database.execute("CREATE TABLE public.kept AS SELECT 7 AS value")

    # A worker that dies is restarted, and it is said.
    worker = worker_names()[0]
    sandbox.worker(worker).kill()
    sandbox.wait_for(f"! {worker} died (killed by SIGKILL)")
    sandbox.wait_for(f"↻ {worker} restarted")

    # Nothing is left after SIGTERM, and a second start finds what was kept.
    processes = sandbox.below()
    assert len(processes) > len(worker_names())
    assert sandbox.stop(signal.SIGTERM) == 0
    assert running_still(processes) == []
    assert not (sandbox.directory / "endpoints.json").exists()

    again = RunningSandbox(sandbox.directory, base_port)
    try:
        again.wait_for("ready")
        assert again.endpoints() == endpoints
        with psycopg.connect(endpoints["database"]) as database:
            assert database.execute("SELECT value FROM public.kept").fetchone() == (7,)
        # A supervisor that is killed takes everything along, and the next start is none the worse for it.
        processes = again.below()
        again.stop(signal.SIGKILL)
        if sys.platform == "linux":
            _, alive = psutil.wait_procs(processes, timeout=STOP_TIMEOUT_SECONDS)
            assert running_still(alive) == []
    finally:
        again.stop(signal.SIGTERM)

    third = RunningSandbox(sandbox.directory, base_port)
    try:
        third.wait_for("ready")
        with psycopg.connect(endpoints["database"]) as database:
            assert database.execute("SELECT value FROM public.kept").fetchone() == (7,)
    finally:
        assert third.stop(signal.SIGINT) == 0


def test_a_stop_in_the_middle_of_the_start_leaves_nothing(sandbox: RunningSandbox) -> None:
    sandbox.wait_for("· schemas")
    processes = sandbox.below()
    assert sandbox.stop(signal.SIGINT) == 0
    assert running_still(processes) == []


def test_a_port_in_use_is_named(tmp_path: Path, base_port: int) -> None:
    with socket.create_server(("127.0.0.1", base_port + 22)):
        running = RunningSandbox(tmp_path / "data", base_port)
        running.wait_for("✗ Ports in use")
        assert running.process.wait(STOP_TIMEOUT_SECONDS) == 1
        running.stop()
    assert any(f"{base_port + 22} (postgres)" in line for line in running.said)
