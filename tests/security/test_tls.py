"""TLS to NATS and Postgres, with an authority made by `deploy/certificates.py`."""

import asyncio
import contextlib
import os
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from nats.errors import Error as NatsError

import tallystick
from deploy.certificates import make
from sandbox.nats import DEPLOY_CONFIGURATION, Nats, password_owners
from sandbox.ports import free_port
from services.seats import app  # noqa: F401 - registers the handlers
from services.seats.invitations.tokens import Invitations
from services.seats.service import service as seats
from shared.messaging.nats_connection import connect
from shared.persistence.database import make_engine
from shared.settings import Settings
from tallystick.client import Unreachable
from tallystick.messages.base import Customer
from tallystick.messages.seats import ListMemberships
from tests.support.runtime import role_url
from tests.support.servers import NatsServer, described, scratch_directory
from tests.support.workers import running

TLS_WANTED = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""How libpq asks a Postgres for TLS, before anything else."""
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """An authority, with a certificate for a server on this machine."""
    with scratch_directory("certificates") as directory:
        make(directory, ["nats", "postgres"])
        make(directory / "others", ["nats"])
        yield directory


class TlsNats(Nats):
    """The embedded server with `deploy/nats-tls.conf`."""

    def __init__(self, directory: Path, certificates: Path) -> None:
        passwords = {owner: f"test-{owner}" for owner in password_owners()}
        super().__init__(directory / "store", free_port(), free_port(), passwords)
        self._certificates = certificates

    def prepare(self) -> Any:
        program = super().prepare()
        own = {
            "NATS_TLS_CERTIFICATE": str(self._certificates / "nats" / "server.pem"),
            "NATS_TLS_KEY": str(self._certificates / "nats" / "server.key"),
        }
        program.environment.update(own)  # type: ignore[attr-defined]
        return program

    def _configuration(self) -> Path:
        return DEPLOY_CONFIGURATION.with_name("nats-tls.conf")

    def url(self, user: str) -> str:
        return super().url(user).replace("nats://", "tls://")


@pytest.fixture(scope="module")
def encrypted(certificates: Path) -> Iterator[NatsServer]:
    """NATS that speaks TLS alone."""
    with scratch_directory("nats") as directory:
        server = TlsNats(directory, certificates)
        child = server.start(directory / "log")
        try:
            yield described(server)
        finally:
            child.stop()


@pytest.fixture
def trusted(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients trust the test's authority."""
    monkeypatch.setenv("NATS_CA_FILE", str(certificates / "clients" / "ca.pem"))


@pytest.mark.usefixtures("trusted")
async def test_a_worker_and_a_client_talk_over_tls(service_database: str, encrypted: NatsServer) -> None:
    await encrypted.provision()
    settings = Settings(database_url=role_url(service_database, "seats"), nats_url=encrypted.users["seats"])
    invitations = Invitations.of("invitations-of-the-tests-are-made-of-this")
    async with (
        running(seats, settings, provide=lambda _: [invitations]) as (worker, _),
        tallystick.connect(encrypted.users["client"]) as client,
    ):
        page = await client.ask(ListMemberships(member=Customer(type="user", id="ann")))
        assert page.items == []
        assert worker.health.started


async def test_without_our_authority_nobody_connects(
    encrypted: NatsServer, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_CA_FILE", raising=False)
    await _refused(encrypted.users["client"], "CERTIFICATE_VERIFY_FAILED")
    monkeypatch.setenv("NATS_CA_FILE", str(certificates / "others" / "clients" / "ca.pem"))
    await _refused(encrypted.users["client"], "CERTIFICATE_VERIFY_FAILED")


async def test_another_host_with_a_certificate_of_ours_is_refused(
    certificates: Path, encrypted: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_CA_FILE", str(certificates / "clients" / "ca.pem"))
    # The same address by a name that is not in the certificate.
    await _refused(encrypted.users["client"].replace("127.0.0.1", "127.1"), "CERTIFICATE_VERIFY_FAILED")


async def test_without_tls_nobody_connects(encrypted: NatsServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(encrypted.url.rpartition(":")[2]))
    assert b'"tls_required":true' in await reader.readline()
    writer.write(b'CONNECT {"user":"client","pass":"test-client"}\r\nPING\r\n')
    assert b"PONG" not in await reader.read(1_000)
    writer.close()


async def test_no_password_is_sent_to_a_server_that_offers_no_tls(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker in between can remove `tls_required` from the server's first message."""
    monkeypatch.setenv("NATS_CA_FILE", str(certificates / "clients" / "ca.pem"))
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","headers":true,"max_payload":1048576}\r\n')
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                heard.extend(await reader.read(10_000))
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    async with server:
        url = f"tls://client:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await _refused(url, "offers none")
        with pytest.raises((NatsError, TimeoutError)):
            async with asyncio.timeout(3):
                await connect(url, "test")
    assert heard == b""


async def _refused(url: str, reason: str) -> None:
    client = tallystick.connect(url, connect_timeout_seconds=2.0)
    with pytest.raises(Unreachable, match=reason):
        await client.connection.open()


@contextlib.contextmanager
def tls_before(database_url: str, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS as Postgres does, before a Postgres: the embedded one was built without it."""
    parts = sa.make_url(database_url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "server.pem", certificate / "server.key")

    class OneClient(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(8) != TLS_WANTED:
                return
            self.request.sendall(b"S")
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection((str(parts.host), int(parts.port or 0))) as server,
            ):
                _copy_both_ways(client, server)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OneClient) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,)).start()
        try:
            yield proxy.server_address[1]
        finally:
            proxy.shutdown()


def _copy_both_ways(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for one, other in ((client, server), (server, client)):
            if one in ready:
                chunk = one.recv(65_536)
                if not chunk:
                    return
                other.sendall(chunk)


async def test_a_worker_verifies_postgres_by_what_the_url_says(
    service_database: str, certificates: Path
) -> None:
    with tls_before(role_url(service_database, "seats"), certificates / "postgres") as port:
        url = sa.make_url(role_url(service_database, "seats")).set(port=port)
        plain = url.render_as_string(hide_password=False)

        def verifying(authority: Path, at: str = plain) -> str:
            return f"{at}?sslmode=verify-full&sslrootcert={authority / 'clients' / 'ca.pem'}"

        engine = make_engine(verifying(certificates), "test")
        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT current_user")) == "tallystick_seats"
        await engine.dispose()
        elsewhere = plain.replace("@127.0.0.1", "@elsewhere")
        for refused, reason in (
            (verifying(certificates / "others"), "certificate verify failed"),
            (verifying(certificates, elsewhere) + "&hostaddr=127.0.0.1", "elsewhere"),
            (f"{plain}?sslmode=disable", "server closed the connection"),
        ):
            with pytest.raises(psycopg.OperationalError, match=reason):
                await psycopg.AsyncConnection.connect(refused)


def test_certificates_are_kept_until_they_end_soon(tmp_path: Path) -> None:
    def read(name: str) -> bytes:
        return (tmp_path / name).read_bytes()

    files = ("authority/ca.pem", "authority/ca.key", "nats/server.pem", "nats/server.key", "clients/ca.pem")
    assert make(tmp_path, ["nats"], now=NOON) == [
        "authority: made, until 2036-01-13",
        "nats: made, until 2027-01-15; restart nats",
    ]
    before = {name: read(name) for name in files}
    assert before["authority/ca.pem"] == before["clients/ca.pem"]
    for name in files:
        assert (tmp_path / name).stat().st_mode & 0o777 == (0o600 if name.endswith(".key") else 0o644)
    assert make(tmp_path, ["nats"], now=NOON + timedelta(days=304)) == [
        "authority: kept until 2036-01-13",
        "nats: kept until 2027-01-15",
    ]
    assert {name: read(name) for name in files} == before
    # 60 days before its end a certificate is made anew, and the authority stays.
    assert make(tmp_path, ["nats"], now=NOON + timedelta(days=306))[1] == (
        "nats: made, until 2027-11-17; restart nats"
    )
    assert read("authority/ca.pem") == before["authority/ca.pem"]
    assert read("nats/server.key") != before["nats/server.key"]
    # A new authority takes all its certificates along.
    (tmp_path / "authority" / "ca.key").unlink()
    assert [line.partition(",")[0] for line in make(tmp_path, ["nats"], now=NOON)] == [
        "authority: made",
        "nats: made",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_servers_key_is_its_own(tmp_path: Path) -> None:
    make(tmp_path, ["postgres:999"], now=NOON)
    assert (tmp_path / "postgres" / "server.key").stat().st_uid == 999
    assert (tmp_path / "postgres" / "server.key").stat().st_mode & 0o777 == 0o600
