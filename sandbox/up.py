"""`./dev up`: run the whole product on one machine until Ctrl-C."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

from sandbox import demo_data, environments, stale_processes
from sandbox.console import Output
from sandbox.credentials import load_or_create, write_private
from sandbox.endpoints import DATABASE, PORTS_USED, Endpoints, Settings, document
from sandbox.managed_process import Program
from sandbox.nats import Nats, password_owners
from sandbox.ports import HOST, answers, is_free
from sandbox.postgres import Postgres
from sandbox.supervisor import StartFailed, Stopped, Supervisor
from sandbox.workers import ROOT, services_with_tables, worker_names

DEFAULT_DIRECTORY = Path(".tallystick")
_DEFAULT_PORT = 7400
_HIGHEST_BASE_PORT = 65_535 - PORTS_USED
# Long enough for a cold start on a slow laptop, which reads every module from disk.
_INFRASTRUCTURE_TIMEOUT_SECONDS = 60.0
_PROVISION_TIMEOUT_SECONDS = 120.0
_WORKER_TIMEOUT_SECONDS = 60.0
_READY_TIMEOUT_SECONDS = 1.0
_MEGABYTE = 1024 * 1024


class Sandbox:
    """One run of `./dev up`: start, summary and stop."""

    def __init__(self, directory: Path, endpoints: Endpoints, output: Output) -> None:
        """Create the programs without starting them."""
        self._directory = directory
        self._endpoints = endpoints
        self._output = output
        self.supervisor = Supervisor(directory, output)
        secrets = endpoints.credentials
        self._postgres = Postgres(directory / "postgres", endpoints.postgres_port, secrets.database_owner)
        self._nats = Nats(
            directory / "nats",
            endpoints.nats_port,
            endpoints.nats_monitor_port,
            secrets.nats_users,
            endpoints.settings.subject_prefix,
            endpoints.settings.webhook_subject,
        )

    def start(self) -> tuple[str, str] | None:
        """Start everything in order and return the demo checkout. Raises `StartFailed` and `Stopped`."""
        self._start_infrastructure()
        self._output.step("schemas, roles, streams and consumers")
        provision = Program(
            "provision",
            [sys.executable, "-m", "shared.operations.provision"],
            environments.of_provisioning(self._endpoints),
            directory=ROOT,
        )
        self.supervisor.run(provision, _PROVISION_TIMEOUT_SECONDS)
        self._start_workers()
        self._output.step(f"catalog {demo_data.CATALOG.relative_to(ROOT)}")
        demo_data.apply_catalog(self.supervisor, self._endpoints)
        return demo_data.demo_checkout(self.supervisor, self._endpoints)

    def _start_infrastructure(self) -> None:
        self._output.step("Postgres, NATS and mailbox")
        self.supervisor.start(self._postgres.prepare, shown=False)
        self.supervisor.start(self._nats.prepare, shown=False)
        if self._endpoints.uses_stand_in:
            self._output.step("Stripe stand-in")
            self.supervisor.start(self._stripe, shown=True)
        self.supervisor.start(self._mailbox, shown=True)
        wait = self.supervisor.wait_until
        wait(self._postgres.is_ready, _INFRASTRUCTURE_TIMEOUT_SECONDS, "postgres")
        self._postgres.create_database(DATABASE)
        wait(self._nats.is_ready, _INFRASTRUCTURE_TIMEOUT_SECONDS, "nats")
        if self._endpoints.uses_stand_in:
            wait(lambda: answers(self._endpoints.stripe_port), _INFRASTRUCTURE_TIMEOUT_SECONDS, "stripe")
        wait(lambda: answers(self._endpoints.smtp_port), _INFRASTRUCTURE_TIMEOUT_SECONDS, "mailbox")

    def _start_workers(self) -> None:
        self._output.step(f"workers: {', '.join(self._endpoints.workers)}")
        for worker in self._endpoints.workers:
            self.supervisor.start(partial(self._worker, worker), shown=True)
        for worker in self._endpoints.workers:
            url = f"{self._endpoints.worker_url(worker)}/ready"
            self.supervisor.wait_until(partial(is_ready, url), _WORKER_TIMEOUT_SECONDS, worker)

    def _worker(self, worker: str) -> Program:
        command = [sys.executable, "-m", f"services.{worker}.app"]
        return Program(worker, command, environments.of_worker(self._endpoints, worker), directory=ROOT)

    def _mailbox(self) -> Program:
        command = [sys.executable, "-m", "sandbox.mailbox", "--host", HOST]
        command += ["--port", str(self._endpoints.mailbox_port)]
        command += ["--smtp-port", str(self._endpoints.smtp_port)]
        command += ["--state", str(self._directory / "mailbox.sqlite")]
        return Program("mailbox", command, environments.shared_by_all(self._endpoints), directory=ROOT)

    def _stripe(self) -> Program:
        command = [sys.executable, "-m", "sandbox.stripe", "--host", HOST]
        command += ["--port", str(self._endpoints.stripe_port), "--webhook-url", self._endpoints.webhook_url]
        command += ["--state", str(self._directory / "stripe.sqlite")]
        return Program("stripe", command, environments.of_stripe(self._endpoints), directory=ROOT)

    def stop(self) -> None:
        """Stop the workers first, so that they can finish their work, and then the infrastructure."""
        self._output.step("stopping")
        self.supervisor.stop_all([self._endpoints.workers, ["stripe", "mailbox"], ["nats"], ["postgres"]])
        self._output.say("stopped")

    def describe(self, demo: tuple[str, str] | None, seconds: float) -> None:
        """Print the endpoints, the first steps, and the line that reports readiness."""
        endpoints = self._endpoints
        purposes = {"webhooks": "receives Stripe's webhooks", "gateway": "HTTP API and billing page"}
        rows = [
            (worker, endpoints.worker_url(worker), purposes.get(worker, "health and metrics"))
            for worker in endpoints.workers
        ]
        rows += [
            ("stripe", endpoints.stripe_url, "stand-in" if endpoints.uses_stand_in else "the real one"),
            ("mailbox", endpoints.mailbox_url, f"every mail that is sent; {endpoints.smtp_url}"),
            ("nats", f"nats://{HOST}:{endpoints.nats_port}", f"monitoring: {endpoints.nats_monitor_url}"),
            ("postgres", f"postgresql://{HOST}:{endpoints.postgres_port}/{DATABASE}", "one schema a service"),
            ("endpoints", str(endpoints_file(self._directory)), "URLs with passwords, for you and scripts"),
            ("logs", str(self._directory / "logs"), "one file a program"),
        ]
        self._output.table("Tallystick is up", rows)
        if demo:
            customer, url = demo
            self._output.say(f"Try it: see in another terminal what happens to {customer},", "bold")
            self._output.say(f"  ./dev watch{self._client_option()}", "cyan")
            self._output.say("then open its checkout page and pay with card 4242 4242 4242 4242", "bold")
            self._output.say(f"  {url}", "cyan")
            self._output.say("")
        megabytes = self.supervisor.resident_bytes() / _MEGABYTE
        self._output.say(
            f"ready after {seconds:.1f} s, {megabytes:,.0f} MB resident; Ctrl-C stops everything",
            "bold green",
        )

    def _client_option(self) -> str:
        """Return the option with which the command line client finds this sandbox."""
        if self._directory == DEFAULT_DIRECTORY.absolute():
            return ""
        return f" --endpoints {endpoints_file(self._directory)}"


def main() -> None:
    """Run the sandbox; exit with 0 unless the start failed."""
    parser = argparse.ArgumentParser(prog="./dev up", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DIRECTORY, help="directory of everything it keeps"
    )
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, help=f"the first of {PORTS_USED} ports")
    options = parser.parse_args()
    if not 1024 <= options.port <= _HIGHEST_BASE_PORT:
        parser.error(f"--port must be between 1024 and {_HIGHEST_BASE_PORT}")
    directory: Path = options.data.absolute()
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    output = Output()
    try:
        with stale_processes.exclusive(directory):
            sys.exit(run(directory, options.port, output))
    except stale_processes.AlreadyRunning as error:
        output.fail(str(error))
        sys.exit(1)


def run(directory: Path, base_port: int, output: Output) -> int:
    """Run one sandbox from start to stop; return the exit code."""
    started_at = time.monotonic()
    endpoints_file(directory).unlink(missing_ok=True)
    if stale_pids := stale_processes.end(directory / "running.json"):
        output.step(f"ended {len(stale_pids)} processes that an earlier run had left")
    secrets = load_or_create(directory / "secrets.json", services_with_tables(), password_owners())
    endpoints = Endpoints(base_port, secrets, Settings.from_environment(), worker_names())
    if ports_in_use := [f"{port} ({name})" for name, port in endpoints.ports.items() if not is_free(port)]:
        output.fail(f"Ports in use: {', '.join(ports_in_use)}. Choose others with --port.")
        return 1
    sandbox = Sandbox(directory, endpoints, output)
    sandbox.supervisor.listen_to_signals()
    try:
        demo = sandbox.start()
        write_private(endpoints_file(directory), document(endpoints))
        sandbox.describe(demo, time.monotonic() - started_at)
        sandbox.supervisor.keep_running()
    except Stopped:
        pass
    except (StartFailed, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        output.fail(str(error))
        return 1
    finally:
        sandbox.stop()
        endpoints_file(directory).unlink(missing_ok=True)
    return 0


def endpoints_file(directory: Path) -> Path:
    """Return the path of the file with the sandbox's endpoints."""
    return directory / "endpoints.json"


def is_ready(url: str) -> bool:
    """Return whether a worker reports that it is ready."""
    try:
        with urllib.request.urlopen(url, timeout=_READY_TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    main()
