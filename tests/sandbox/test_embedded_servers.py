"""The embedded Postgres and NATS keep committed data over a stop, a crash and a killed supervisor."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import nats
import psycopg
import pytest

from sandbox.nats import DEPLOY_CONFIGURATION, Nats, password_owners, users, with_subjects
from sandbox.ports import HOST, free_port
from sandbox.postgres import Postgres, deployed_settings
from tests.support.servers import embedded_nats, scratch_directory

LAUNCHER = Path(__file__).parents[2] / "sandbox" / "launch.py"
PASSWORD = "a password with 'quotes' and %"


def values(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


def add(url: str, value: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def test_postgres_keeps_what_was_committed() -> None:
    with scratch_directory("postgres") as directory:
        server = Postgres(directory / "data", free_port(), PASSWORD)
        url = server.url("postgres")
        child = server.start(directory / "log")
        try:
            add(url, 1)
            child.stop()
            child = server.start(directory / "log")
            add(url, 2)
            child.kill()
            child = server.start(directory / "log")
            add(url, 3)
            left = child  # as after a supervisor's death: nobody stops it, the next start meets it
            child = server.start(directory / "log")
            assert left.exit_code is not None
            assert values(url) == [1, 2, 3]
        finally:
            child.stop()


def test_postgres_believes_no_stale_pid_file() -> None:
    with scratch_directory("postgres") as directory:
        server = Postgres(directory / "data", free_port(), PASSWORD)
        server.start(directory / "log").stop()
        pid_file = directory / "data" / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{directory / 'data'}\n")  # a process that is not Postgres
        child = server.start(directory / "log")
        child.stop()
        assert child.exit_code == 0


def test_postgres_is_durable_and_listens_on_this_machine_alone() -> None:
    with scratch_directory("postgres") as directory:
        server = Postgres(directory / "data", free_port(), PASSWORD)
        child = server.start(directory / "log")
        try:
            with psycopg.connect(server.url("postgres")) as connection:
                shown = {
                    name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
                    for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
                }
            assert shown == {
                "fsync": ("on",),
                "synchronous_commit": ("on",),
                "full_page_writes": ("on",),
                "listen_addresses": (HOST,),
            }
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(server.url("postgres", password="wrong"))
        finally:
            child.stop()


def test_postgres_runs_in_a_directory_that_is_closed_to_others() -> None:
    with scratch_directory("postgres") as directory:
        directory.chmod(0o700)
        server = Postgres(directory / "data", free_port(), PASSWORD)
        child = server.start(directory / "log")
        child.stop()
        assert child.exit_code == 0


def test_every_deployed_setting_is_read() -> None:
    settings = deployed_settings()
    assert settings["shared_buffers"] == "128MB"
    assert settings["timezone"] == "UTC"
    assert "#" not in "".join(settings.values())


async def test_nats_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with embedded_nats() as (server, child):
        connection = await nats.connect(server.url("admin"))
        await connection.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await connection.jetstream().publish("kept", b"1")
        await connection.close()
        child.kill()
        again = server.start(tmp_path / "log")
        try:
            connection = await nats.connect(server.url("admin"))
            assert (await connection.jetstream().stream_info("KEPT")).state.messages == 1
            await connection.close()
        finally:
            again.stop()


def test_nats_acknowledges_only_what_is_on_the_disk() -> None:
    with embedded_nats() as (server, _), urllib.request.urlopen(f"{server.monitor_url}/varz") as answer:
        state = json.loads(answer.read())
    assert state["jetstream"]["config"]["sync_always"] is True
    assert state["host"] == HOST


async def test_nats_takes_other_subjects_from_the_settings(tmp_path: Path) -> None:
    passwords = {user: f"test-{user}" for user in users()}
    server = Nats(tmp_path, free_port(), free_port(), passwords, "acme", "hooks.stripe")
    child = server.start(tmp_path / "log")
    try:
        refusals: list[str] = []

        async def note(error: Exception) -> None:
            refusals.append(str(error))

        ingress = await nats.connect(server.url("ingress"), error_cb=note)
        await ingress.publish("hooks.stripe", b"{}")
        await ingress.publish("tunnel.incoming-webhook-events.stripe", b"{}")
        await ingress.flush()
        await ingress.flush()
        await ingress.close()
        assert len(refusals) == 1
        assert "tunnel.incoming-webhook-events.stripe" in refusals[0]
    finally:
        child.stop()


def test_no_subject_of_the_configuration_escapes_the_prefix() -> None:
    changed = with_subjects(DEPLOY_CONFIGURATION.read_text(), "acme", "hooks.stripe")
    rules = [line for line in changed.splitlines() if not line.strip().startswith("#")]
    assert not any('"billing.' in line or "tunnel." in line for line in rules)
    assert any('"acme.change_feed.seat.>"' in line for line in rules)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its servers to another account")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux has the capability")
def test_the_servers_account_reaches_a_private_home(tmp_path: Path) -> None:
    """`initdb` asks `access(2)`, which forgets capabilities unless it is told not to."""
    home = tmp_path / "private home"
    home.mkdir(mode=0o700)
    program = home / "program"
    program.write_text("#!/bin/sh\nid -u\n")
    program.chmod(0o700)
    check = f"import os, sys; sys.exit(not os.access({str(program)!r}, os.R_OK | os.X_OK))"
    launcher = [sys.executable, "-ISE", str(LAUNCHER), "--user", "nobody", "--bypass-directory-permissions"]
    command = [*launcher, "--parent", str(os.getpid()), "--", sys.executable, "-c", check]
    assert subprocess.run(command, check=False).returncode == 0


def test_nats_keeps_its_store_in_a_path_with_spaces(tmp_path: Path) -> None:
    passwords = {user: f"test-{user}" for user in password_owners()}
    server = Nats(tmp_path / "a store" / "jetstream", free_port(), free_port(), passwords)
    child = server.start(tmp_path / "log")
    try:
        assert (tmp_path / "a store" / "jetstream").is_dir()
    finally:
        child.stop()
