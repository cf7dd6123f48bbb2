"""Supervisor of the sandbox's programs: starts, restarts and stops them, and forwards their output.

It runs in one thread with one selector, and knows nothing about the purpose of the programs.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from sandbox import stale_processes
from sandbox.console import Output, set_aside_if_large
from sandbox.managed_process import STOP_TIMEOUT_SECONDS, Child, Program, last_lines

# Longest wait for output per round; also the longest delay before an exit or a signal is noticed.
_TICK_SECONDS = 0.1
_READ_BYTES = 65_536
_FIRST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 30.0
# A program that ran this long counts as stable: after its next exit the backoff starts again.
_STABLE_AFTER_SECONDS = 60.0


class Stopped(Exception):
    """A stop was requested during the start."""


class StartFailed(Exception):
    """A program did not start; the message contains the reason."""


@dataclass
class _SupervisedProgram:
    prepare: Callable[[], Program]  # called before every start
    child: Child
    log: Path
    shown: bool
    started_at: float = field(default_factory=time.monotonic)
    failures: int = 0
    restart_at: float | None = None
    partial_line: bytes = b""


class Supervisor:
    """Programs of one sandbox, in start order."""

    def __init__(self, directory: Path, output: Output) -> None:
        """Write logs to `directory/logs` and the running processes to `directory/running.json`."""
        self._logs = directory / "logs"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._note = directory / "running.json"
        self._output = output
        self._selector = selectors.DefaultSelector()
        self._programs: dict[str, _SupervisedProgram] = {}
        self.stop_requested = False

    def listen_to_signals(self) -> None:
        """Stop on Ctrl-C, SIGTERM and a closed terminal; a second Ctrl-C kills immediately."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.stop_requested and number == signal.SIGINT:
            for supervised in self._programs.values():
                supervised.child.end_group()
        self.stop_requested = True

    def start(self, prepare: Callable[[], Program], *, shown: bool) -> None:
        """Start a program and keep it running.

        Its output is written to a log; with `shown` it appears on the terminal, too.
        """
        program = prepare()
        log = self.log(program.name)
        set_aside_if_large(log)
        self._programs[program.name] = _SupervisedProgram(prepare, self._spawn(program), log, shown)
        stale_processes.note(self._note, (supervised.child for supervised in self._programs.values()))

    def log(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self._logs / f"{name}.log"

    def run(self, program: Program, timeout_seconds: float) -> str:
        """Run a program to completion and return its output. Raises `StartFailed` on a non-zero exit code."""
        log = self.log(program.name)
        set_aside_if_large(log)
        with log.open("ab") as output:
            begin = output.tell()
            child = Child(program, output)
            try:
                self.wait_until(lambda: child.exit_code is not None, timeout_seconds, program.name)
            finally:
                child.stop()
        if child.exit_code != 0:
            raise StartFailed(f"{program.name} ended with {child.exit_code}:\n{last_lines(log)}")
        with log.open("rb") as written:
            written.seek(begin)
            return written.read().decode(errors="replace")

    def wait_until(self, condition: Callable[[], bool], timeout_seconds: float, name: str) -> None:
        """Wait for `condition()` while forwarding output. Raises `StartFailed` and `Stopped`."""
        deadline = time.monotonic() + timeout_seconds
        supervised = self._programs.get(name)
        while not condition():
            if self.stop_requested:
                raise Stopped
            if supervised and supervised.child.exit_code is not None:
                raise StartFailed(
                    f"{name} ended with {supervised.child.exit_code}:\n{last_lines(supervised.log)}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{name} was not ready after {timeout_seconds:g} s:\n{last_lines(self.log(name))}"
                )
            self.forward_output(_TICK_SECONDS)

    def keep_running(self) -> None:
        """Forward output and restart programs until a stop is requested."""
        while not self.stop_requested:
            self.look_after_all()

    def look_after_all(self) -> None:
        """Run one round: wait briefly for output, forward it, and restart programs that are due."""
        self.forward_output(_TICK_SECONDS)
        for supervised in self._programs.values():
            self._restart_if_exited(supervised)

    def stop_all(self, together: list[list[str]]) -> None:
        """Stop the groups one after the other, each group's programs together; then all others."""
        named = {name for group in together for name in group}
        rest = [[name] for name in reversed(self._programs) if name not in named]
        for group in [*together, *rest]:
            children = [self._programs[name].child for name in group if name in self._programs]
            for child in children:
                child.ask_to_stop()
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            while any(child.exit_code is None for child in children) and time.monotonic() < deadline:
                self.forward_output(_TICK_SECONDS)
            for child in children:
                child.stop(timeout_seconds=0)
        self.forward_output(0)
        self._note.unlink(missing_ok=True)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the programs."""
        return {name: supervised.child.pid for name, supervised in self._programs.items()}

    def resident_bytes(self) -> int:
        """Return the resident memory of all processes; shared pages count once per process."""
        total = 0
        processes = [psutil.Process()]
        processes += processes[0].children(recursive=True)
        for process in processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:  # the process has just ended
                continue
        return total

    def forward_output(self, timeout_seconds: float) -> None:
        """Write the programs' output to their logs and, if shown, to the terminal."""
        for key, _ in self._selector.select(timeout_seconds):
            supervised = self._programs.get(key.data)
            data = os.read(key.fd, _READ_BYTES)
            if not data:
                self._selector.unregister(key.fileobj)
                _close(key.fileobj)
            elif supervised:
                self._write(supervised, data)

    def _write(self, supervised: _SupervisedProgram, data: bytes) -> None:
        with supervised.log.open("ab") as log:
            log.write(data)
        if not supervised.shown:
            return
        *lines, supervised.partial_line = (supervised.partial_line + data).split(b"\n")
        for line in lines:
            self._output.log_line(supervised.child.name, line.decode(errors="replace"))

    def _spawn(self, program: Program) -> Child:
        child = Child(program, subprocess.PIPE)
        assert child.process.stdout is not None
        self._selector.register(child.process.stdout, selectors.EVENT_READ, program.name)
        return child

    def _restart_if_exited(self, supervised: _SupervisedProgram) -> None:
        now = time.monotonic()
        if supervised.child.exit_code is None:
            return
        if supervised.restart_at is None:
            supervised.child.end_group()
            supervised.failures = (
                0 if now - supervised.started_at > _STABLE_AFTER_SECONDS else supervised.failures + 1
            )
            delay = min(
                _FIRST_RESTART_SECONDS * 2 ** max(supervised.failures - 1, 0), _LONGEST_RESTART_SECONDS
            )
            supervised.restart_at = now + delay
            self._output.warn(
                f"{supervised.child.name} died ({_cause(supervised.child)}); restarting in {delay:g} s, "
                f"its log is {supervised.log}"
            )
        elif now >= supervised.restart_at:
            supervised.child = self._spawn(supervised.prepare())
            supervised.started_at, supervised.restart_at = now, None
            stale_processes.note(self._note, (each.child for each in self._programs.values()))
            self._output.say(f"↻ {supervised.child.name} restarted, process {supervised.child.pid}", "green")


def _cause(child: Child) -> str:
    code = child.exit_code
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _close(stream: object) -> None:
    if hasattr(stream, "close"):
        stream.close()
