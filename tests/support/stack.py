"""The whole system as processes, any of which can be killed: Postgres, NATS, the Stripe stand-in, workers."""

import asyncio
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import nats as sandbox_nats
from sandbox.managed_process import Child, NotReady, Program, last_lines
from sandbox.nats import Nats
from sandbox.ports import HOST, free_port
from sandbox.postgres import Postgres
from shared.messaging.nats_connection import connect
from shared.operations.provision import provision_database, provision_nats, role_name
from shared.persistence.migrations import ROOT, service_names
from shared.tuning import PROGRESS_SECONDS
from tests.support.servers import NatsServer, described, scratch_directory, with_user

PASSWORD = "role-of-the-stack"
WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
WEBHOOK_SECRET = "whsec_of_the_stack"
STRIPE_KEY = "sk_test_of_the_stack"
INVITATION_SECRET = "invitations-of-the-stack-are-made-of-this"
LICENSE_KEY_SECRET = "license-keys-of-the-stack-are-made-of-this"
LICENSE_SIGNING_KEY = "11" * 32
BENEFIT_SECRET = "benefits-of-the-stack-are-signed-with-this"
NOTIFICATIONS_SECRET = "links-in-mails-of-the-stack-are-signed-so"
READY_SECONDS = 50.0
"""Less than a test's timeout, so that a worker that does not start is reported with its log."""
RESTART_TRIES = 10
WORKERS = ("subscriptions", "seats", "consumables", "licenses", "monitoring", "payouts", "notifications")
"""All but `webhooks`, which has to know its port."""
DEPLOYED_ACK_WAIT_SECONDS = 60.0
ACK_WAIT_SECONDS = PROGRESS_SECONDS + 2.0
"""What a killed worker was given comes again after this; shorter than deployed, because tests wait for it."""
NO_SETTINGS: Mapping[str, str] = {}
TRACED = "tests.support.traced_worker"
"""The module that runs a worker and can record what it calls."""


@dataclass(slots=True)
class Stack:
    """Provisioned Postgres and NATS, and the other processes that were started."""

    directory: Path
    postgres: Postgres
    nats_process: Nats
    nats: NatsServer
    children: dict[str, Child] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    health_ports: dict[str, int] = field(default_factory=dict)

    @property
    def owner_url(self) -> str:
        """The URL of the database's owner."""
        return self.postgres.url("postgres")

    def role_url(self, service: str) -> str:
        """A service's own URL to the database."""
        return with_user(self.owner_url, role_name(service), PASSWORD)

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.directory / f"{name}.log"

    @contextmanager
    def worker(
        self,
        service: str,
        settings: Mapping[str, str] = NO_SETTINGS,
        *,
        module: str = "",
        arguments: Sequence[str] = (),
        port: int = 0,
        is_awaited: bool = True,
    ) -> Iterator[int]:
        """A worker process, ready where that is awaited; its port. `BENCH_PROFILE=file` profiles it."""
        port = port or free_port()
        own = {
            "DATABASE_URL": self.role_url(service),
            "NATS_URL": self.nats.users[service],
            "HEALTH_PORT": str(port),
            "LOG_LEVEL": "warning",
            "INVITATION_SECRET": INVITATION_SECRET,
            "LICENSE_KEY_SECRET": LICENSE_KEY_SECRET,
            "LICENSE_SIGNING_KEY": LICENSE_SIGNING_KEY,
            "BENEFIT_SECRET": BENEFIT_SECRET,
            "NOTIFICATIONS_SECRET": NOTIFICATIONS_SECRET,
            "WEBHOOKS_OUT_ALLOW_PRIVATE": "true",
            "PYTHONPATH": str(ROOT),
        }
        profile = os.environ.get("BENCH_PROFILE")
        profiling = ["-m", "tests.support.profiled_worker", profile] if profile else ["-m"]
        command = [sys.executable, *profiling, module or f"services.{service}.app", *arguments]
        environment = {**os.environ, **own, **settings}
        self.health_ports[service] = port
        with self.process(Program(service, command, environment, directory=ROOT)):
            if is_awaited:
                self.wait_until_ready(service)
            yield port

    @contextmanager
    def stripe(self, webhook_url: str) -> Iterator[str]:
        """The Stripe stand-in, keeping its state in a file; its URL."""
        port = free_port()
        command = [sys.executable, "-m", "sandbox.stripe", "--port", str(port), "--webhook-url", webhook_url]
        command += ["--state", str(self.directory / "stripe.state")]
        secrets = {"STRIPE_SECRET_KEY": STRIPE_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
        environment = {**os.environ, **secrets, "PYTHONPATH": str(ROOT)}
        with self.process(Program("stripe", command, environment, directory=ROOT)):
            _wait_until(lambda: _answers(f"http://{HOST}:{port}/"), "stripe", self.log("stripe"))
            yield f"http://{HOST}:{port}"

    @contextmanager
    def mailbox(self) -> Iterator[tuple[str, str]]:
        """The mail catcher: the URLs of its JSON API and of its SMTP server."""
        port, smtp_port = free_port(), free_port()
        command = [sys.executable, "-m", "sandbox.mailbox", "--port", str(port)]
        command += ["--smtp-port", str(smtp_port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.process(Program("mailbox", command, environment, directory=ROOT)):
            _wait_until(lambda: _answers(f"http://{HOST}:{port}/"), "mailbox", self.log("mailbox"))
            yield f"http://{HOST}:{port}", f"smtp://{HOST}:{smtp_port}"

    @contextmanager
    def process(self, program: Program) -> Iterator[None]:
        """Run a program for the block; another of its name goes on, and has the name back afterwards."""
        program_before, child_before = self.programs.get(program.name), self.children.get(program.name)
        self.programs[program.name] = program
        self._start(program.name)
        try:
            yield
        finally:
            self.children.pop(program.name).stop()
            if program_before is not None and child_before is not None:
                self.programs[program.name], self.children[program.name] = program_before, child_before

    def kill(self, name: str) -> None:
        """SIGKILL a process: a worker, `stripe`, `postgres` or `nats`."""
        self.children[name].kill()

    def restart(self, name: str) -> None:
        """Start a killed process again; returns once a server accepts connections."""
        if name == "postgres":
            self.children[name] = _persistently(lambda: self.postgres.start(self.log(name)))
        elif name == "nats":
            self.children[name] = _persistently(lambda: self.nats_process.start(self.log(name)))
        else:
            self._start(name)

    def wait_until_ready(self, service: str) -> None:
        """Wait until a worker says that it can do its work."""
        url = f"http://{HOST}:{self.health_ports[service]}/ready"
        _wait_until(lambda: _answers(url), service, self.log(service))

    def _start(self, name: str) -> None:
        with self.log(name).open("ab") as log:
            self.children[name] = Child(self.programs[name], log)


@dataclass(frozen=True, slots=True)
class System:
    """The whole of it: servers, the Stripe stand-in, and the workers."""

    stack: Stack
    stripe_url: str
    ingress_url: str
    """Where Stripe's webhooks are posted."""
    mailbox_url: str
    """The mail catcher's JSON API."""


@contextmanager
def whole_system(traced: Path | None = None, *, without: Collection[str] = ()) -> Iterator[System]:
    """Everything as processes, with Stripe's webhooks on their way to the ingress.

    The workers in `without` are not started: each takes a processor for more than a second to start. With a
    directory in `traced` the workers can record there what they call (`tests.support.call_trace`).
    """
    with stack() as running, ExitStack() as processes:

        def start(service: str, port: int = 0) -> None:
            module, arguments = (TRACED, [service, str(traced)]) if traced else ("", [])
            worker = running.worker(
                service, settings, module=module, arguments=arguments, port=port, is_awaited=False
            )
            processes.enter_context(worker)

        asyncio.run(_redeliver_sooner(running.nats.url))
        webhooks_port = free_port()
        ingress = f"http://{HOST}:{webhooks_port}/api/v1/webhooks/stripe"
        stripe_url = processes.enter_context(running.stripe(ingress))
        mailbox_url, smtp_url = processes.enter_context(running.mailbox())
        settings = {
            "SMTP_URL": smtp_url,
            "STRIPE_SECRET_KEY": STRIPE_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe_url,
        }
        start("webhooks", webhooks_port)
        for service in WORKERS:
            if service not in without:
                start(service)
        for service in running.health_ports:
            running.wait_until_ready(service)
        yield System(running, stripe_url, ingress, mailbox_url)


@contextmanager
def stack() -> Iterator[Stack]:
    """Postgres and NATS with real durability, provisioned."""
    with scratch_directory("stack") as directory:
        passwords = {user: f"stack-{user}" for user in sandbox_nats.password_owners()}
        postgres = Postgres(directory / "postgres", free_port(), "owner-of-the-stack")
        nats = Nats(directory / "nats", free_port(), free_port(), passwords)
        running = Stack(directory, postgres, nats, described(nats))
        try:
            running.restart("postgres")
            running.restart("nats")
            provision_database(running.owner_url, dict.fromkeys(service_names(), PASSWORD))
            admin, monitor_url = nats.url("admin"), nats.monitor_url
            asyncio.run(
                provision_nats(
                    admin, prefix="billing", webhook_subject=WEBHOOK_SUBJECT, monitor_url=monitor_url
                )
            )
            yield running
        finally:
            for name in ("nats", "postgres"):
                if name in running.children:
                    running.children[name].stop()


async def _redeliver_sooner(admin_url: str) -> None:
    connection = await connect(admin_url, "admin")
    jetstream = connection.jetstream()
    for stream in await jetstream.streams_info():
        for consumer in await jetstream.consumers_info(stream.config.name or ""):
            if consumer.config.ack_wait == DEPLOYED_ACK_WAIT_SECONDS:
                config = consumer.config.evolve(ack_wait=ACK_WAIT_SECONDS)
                await jetstream.add_consumer(consumer.stream_name, config)
    await connection.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _wait_until(holds: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is not ready; the end of its log:\n{last_lines(log)}")
        time.sleep(0.05)


def _persistently(start: Callable[[], Child]) -> Child:
    """Start a server whose killed predecessor may still be ending."""
    for _ in range(RESTART_TRIES):
        with suppress(NotReady):
            return start()
        time.sleep(0.2)
    return start()
