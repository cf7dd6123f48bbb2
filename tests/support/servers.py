"""Postgres and NATS for tests: the environment's, containers where a Docker engine answers, else embedded.

One of each serves a whole test session. Isolation: an empty database, and a NATS without streams.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import nats
import psycopg
from nats.js.errors import NotFoundError
from psycopg import sql

from sandbox import nats as sandbox_nats
from sandbox.managed_process import Child
from sandbox.nats import Nats
from sandbox.ports import free_port
from sandbox.postgres import NOT_DURABLE_SETTINGS, Postgres
from shared.operations.jetstream_layout import load_layout
from shared.operations.provision import LAYOUT_PATH, provision_streams

POSTGRES_IMAGE = "postgres:18"
NATS_IMAGE = "nats:2.15-alpine"
_DOCKER_TIMEOUT_SECONDS = 2
_RESET_TIMEOUT_SECONDS = 10
_OWNER_PASSWORD = "owner-of-the-tests"
TEST_SETTINGS = {**NOT_DURABLE_SETTINGS, "scram_iterations": "1"}
"""Tests connect many thousands of times; 4096 rounds of hashing are most of what that takes."""
_database_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A Postgres whose owner may create roles and databases."""

    url: str  # of the owner, on the maintenance database
    source: str  # environment, container or embedded

    def create_database(self, template: str | None = None) -> str:
        """The owner's URL of a new database: empty, or a copy of the database with the name `template`."""
        name = f"tallystick_test_{os.getpid()}_{next(_database_numbers)}"
        self._run(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
        return with_database(self.url, name)

    def drop_database(self, url: str) -> None:
        """Drop a database made here and end its connections."""
        name = sql.Identifier(database_name(url))
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@dataclass(frozen=True)
class NatsServer:
    """A NATS with JetStream; `users` maps each of its users to a URL."""

    users: dict[str, str]
    monitor_url: str | None
    source: str
    passwords: dict[str, str] = field(default_factory=dict)  # the variables of `deploy/nats.conf`

    @property
    def url(self) -> str:
        """The URL of the user who may do everything."""
        return self.users["admin"]

    @property
    def has_users(self) -> bool:
        """Whether the users of `deploy/nats.conf` exist; a server named by NATS_URL may know only one."""
        return len(set(self.users.values())) > 1

    async def reset(self) -> None:
        """Remove every stream and every copy, and with them every message, consumer and bucket."""
        for user in ("readers", "admin") if self.has_users else ("admin",):
            await self._remove_streams(user)

    async def provision(self, *, webhook_subject: str = "tunnel.incoming-webhook-events.stripe") -> None:
        """Make every stream, bucket, consumer and copy of `deploy/streams.yaml`."""
        layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject=webhook_subject)
        await provision_streams(self.url, layout)

    async def _remove_streams(self, user: str) -> None:
        connection = await nats.connect(self.users[user], inbox_prefix=f"_INBOX_{user}")
        try:
            stream_context = connection.jetstream(timeout=_RESET_TIMEOUT_SECONDS)
            for stream in await stream_context.streams_info():
                with contextlib.suppress(NotFoundError):
                    await stream_context.delete_stream(stream.config.name or "")
        finally:
            await connection.close()


def database_name(url: str) -> str:
    """The name of the database a URL leads to."""
    return urlsplit(url).path.lstrip("/")


def with_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_user(url: str, user: str, password: str) -> str:
    """The same server and database, another user. Both must need no quoting."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """The session's Postgres."""
    if url := os.environ.get("DATABASE_URL"):
        yield PostgresServer(url, "environment")
    elif docker_answers():
        with _postgres_container() as url:
            yield PostgresServer(url, "container")
    else:
        with embedded_postgres() as server:
            yield PostgresServer(server.url("postgres"), "embedded")


@contextlib.contextmanager
def nats_server() -> Iterator[NatsServer]:
    """The session's NATS."""
    if url := os.environ.get("NATS_URL"):
        yield _nats_of_environment(url)
    elif docker_answers():
        with _nats_container() as server:
            yield server
    else:
        with embedded_nats() as (embedded, _):
            yield described(embedded)


@contextlib.contextmanager
def embedded_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """An embedded Postgres with an empty data directory; `durable` where a test is about the disk."""
    with scratch_directory("postgres") as directory:
        settings = {} if durable else TEST_SETTINGS
        server = Postgres(directory / "data", free_port(), _OWNER_PASSWORD, settings)
        child = server.start(directory / "log")
        try:
            if not durable:
                _hash_again(server)
            yield server
        finally:
            child.stop()


def _hash_again(server: Postgres) -> None:
    """Have the owner's password hashed as the settings say; the server was made before it knew them."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(sql.Literal(_OWNER_PASSWORD))
        )


@contextlib.contextmanager
def embedded_nats() -> Iterator[tuple[Nats, Child]]:
    """An embedded NATS with an empty store, configured by `deploy/nats.conf`, and its process."""
    passwords = {user: f"test-{user}" for user in sandbox_nats.password_owners()}
    with scratch_directory("nats") as directory:
        server = Nats(directory / "store", free_port(), free_port(), passwords)
        child = server.start(directory / "log")
        try:
            yield server, child
        finally:
            child.stop()


@contextlib.contextmanager
def scratch_directory(purpose: str) -> Iterator[Path]:
    """A directory that is gone afterwards; pytest's own is closed to the account Postgres runs as."""
    directory = Path(tempfile.mkdtemp(prefix=f"tallystick-{purpose}-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def described(server: Nats) -> NatsServer:
    """What a test needs to know of an embedded NATS."""
    users = {user: server.url(user) for user in sandbox_nats.users()}
    return NatsServer(users, server.monitor_url, "embedded", _password_variables(users))


@functools.cache
def docker_answers() -> bool:
    """Whether a Docker engine, or Podman's, is there; asked without importing Docker where no socket is."""
    if "DOCKER_HOST" not in os.environ:
        socket = next((socket for socket in engine_sockets() if socket.exists()), None)
        if socket is None:
            return False
        os.environ["DOCKER_HOST"] = f"unix://{socket}"
        if "podman" in socket.name:
            # Podman removes the containers of a session that has ended by itself.
            os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    import docker

    try:
        docker.from_env(timeout=_DOCKER_TIMEOUT_SECONDS).ping()
    except Exception:  # whatever is wrong with it, it does not answer
        return False
    return True


def engine_sockets() -> list[Path]:
    """Where Docker's and Podman's engines listen, for everybody and for the user alone."""
    own = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    return [
        Path("/var/run/docker.sock"),
        own / "docker.sock",
        Path("/run/podman/podman.sock"),
        own / "podman" / "podman.sock",
    ]


@contextlib.contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(
        POSTGRES_IMAGE, username="tallystick", password=_OWNER_PASSWORD, driver=None
    )
    with container as running:
        yield running.get_connection_url()


@contextlib.contextmanager
def _nats_container() -> Iterator[NatsServer]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    passwords = {user: f"test-{user}" for user in sandbox_nats.password_owners()}
    container = DockerContainer(NATS_IMAGE).with_command("-c /etc/tallystick/nats.conf")
    container = container.with_volume_mapping(
        str(sandbox_nats.DEPLOY_CONFIGURATION), "/etc/tallystick/nats.conf", "ro"
    )
    container = container.with_env("NATS_LISTEN", "0.0.0.0:4222").with_env(
        "NATS_MONITOR_LISTEN", "0.0.0.0:8222"
    )
    container = container.with_env("NATS_STORE_DIR", "/data").with_exposed_ports(4222, 8222)
    for user, password in passwords.items():
        container = container.with_env(sandbox_nats.password_variable(user), password)
    with container.waiting_for(LogMessageWaitStrategy("Server is ready")) as running:
        host = running.get_container_host_ip()
        base = f"nats://{host}:{running.get_exposed_port(4222)}"
        owner = sandbox_nats.password_owner
        users = {user: with_user(base, user, passwords[owner(user)]) for user in sandbox_nats.users()}
        monitor = f"http://{host}:{running.get_exposed_port(8222)}"
        yield NatsServer(users, monitor, "container", _password_variables(users))


def _nats_of_environment(url: str) -> NatsServer:
    """The server NATS_URL leads to as admin; other users as far as their NATS_<USER>_PASSWORD is set."""
    variables = {user: sandbox_nats.password_variable(user) for user in sandbox_nats.users()}
    users = {
        user: with_user(url, user, os.environ[variable]) if variable in os.environ else url
        for user, variable in variables.items()
    }
    return NatsServer(
        {**users, "admin": url}, os.environ.get("NATS_MONITOR_URL"), "environment", _password_variables(users)
    )


def _password_variables(users: dict[str, str]) -> dict[str, str]:
    return {sandbox_nats.password_variable(user): urlsplit(url).password or "" for user, url in users.items()}
