"""Child process in its own process group, which is always stopped completely."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launch.py")
# Time between the stop signal and SIGKILL; Postgres needs it for a checkpoint.
STOP_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.02
# Log lines in an error message: enough to see the cause on one screen.
_LAST_LINES = 15

ReadyCheck = Callable[[], bool]


@dataclass(frozen=True)
class Program:
    """Command line, environment and stop signal of a program."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    # When started by root: the account to run as, and whether it may traverse closed directories.
    user: str | None = None
    bypass_directory_permissions: bool = False
    directory: Path | None = None


class Child:
    """Running `Program`."""

    def __init__(self, program: Program, output: IO[bytes] | int) -> None:
        """Start it. `output`: a file for what it writes, or `subprocess.PIPE`.

        Call it from the main thread: the kernel ends the program when the thread that started it ends.
        """
        self.program = program
        launcher = [sys.executable, "-ISE", str(_LAUNCHER), "--parent", str(os.getpid())]
        launcher += ["--signal", str(int(program.stop_signal))]
        if program.user:
            launcher += ["--user", program.user]
        if program.bypass_directory_permissions:
            launcher += ["--bypass-directory-permissions"]
        self.process = subprocess.Popen(
            [*launcher, "--", *program.command],
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    @property
    def name(self) -> str:
        """Name of the program."""
        return self.program.name

    @property
    def pid(self) -> int:
        """Process id, which is also the process group id."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Send the stop signal to the program only; it stops its own children."""
        if self.exit_code is None:
            self.process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """Kill the program immediately with SIGKILL, as in a crash."""
        if self.exit_code is None:
            self.process.kill()
        self.process.wait()

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Send the stop signal, wait, and kill the rest of the process group."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_seconds)
        self.end_group()
        self.process.wait()

    def end_group(self) -> None:
        """Kill the rest of the process group, if the program left any children."""
        # macOS raises PermissionError for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class NotReady(Exception):
    """A program did not become ready; the message contains its last log lines."""


def wait_until_ready(child: Child, ready: ReadyCheck, log: Path, timeout_seconds: float) -> None:
    """Wait for `ready()`. Raises `NotReady` when the program ends or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        ended = child.exit_code is not None
        if ended or time.monotonic() > deadline:
            what = f"ended with {child.exit_code}" if ended else f"was not ready after {timeout_seconds:g} s"
            raise NotReady(f"{child.name} {what}; the end of {log}:\n{last_lines(log)}")
        time.sleep(_POLL_SECONDS)


def last_lines(log: Path, count: int = _LAST_LINES) -> str:
    """Return the end of a log, or a note that it is empty."""
    if not log.exists():
        return "(nothing was written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
