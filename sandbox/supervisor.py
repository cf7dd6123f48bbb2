"""Keeps the programs running: starts them, passes on what they write, restarts the dead, stops them in order.

It is one thread over one selector. Nothing here knows what the programs are for.
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

# How long a look at the programs may wait for output; also how late a death or a signal is noticed at most.
_TICK_SECONDS = 0.1
_READ_BYTES = 65_536
_FIRST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 30.0
# A program that lived this long is well again: its next death is restarted at once.
_WELL_AFTER_SECONDS = 60.0


class Stopped(Exception):
    """Somebody asked the sandbox to stop while it was still starting."""


class StartFailed(Exception):
    """A program did not start; the message says why."""


@dataclass
class _Watched:
    prepare: Callable[[], Program]  # what to run; called before every start
    child: Child
    log: Path
    shown: bool
    kept: bool = True
    started_at: float = field(default_factory=time.monotonic)
    failures: int = 0
    restart_at: float | None = None
    half_line: bytes = b""


class Supervisor:
    """The programs of one sandbox, in the order in which they were started."""

    def __init__(self, directory: Path, output: Output) -> None:
        """Logs go to `directory/logs`; `directory/running.json` says who runs."""
        self._logs = directory / "logs"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._note = directory / "running.json"
        self._output = output
        self._selector = selectors.DefaultSelector()
        self._watched: dict[str, _Watched] = {}
        self.stop_requested = False

    def listen_to_signals(self) -> None:
        """Stop on Ctrl-C, SIGTERM and a closed terminal; a second Ctrl-C stops without waiting."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.stop_requested and number == signal.SIGINT:
            for watched in self._watched.values():
                watched.child.end_group()
        self.stop_requested = True

    def start(self, prepare: Callable[[], Program], *, shown: bool, kept: bool = True) -> None:
        """Start a program and keep it running from now on.

        `shown`: its output appears on the terminal; `kept`: it is written to a log.
        """
        program = prepare()
        log = self.log(program.name)
        set_aside_if_large(log)
        self._watched[program.name] = _Watched(prepare, self._spawn(program), log, shown, kept)
        stale_processes.note(self._note, (watched.child for watched in self._watched.values()))

    def log(self, name: str) -> Path:
        """Where a program's output is kept."""
        return self._logs / f"{name}.log"

    def run(self, program: Program, timeout_seconds: float) -> str:
        """Run a program to its end and give what it wrote. Raises `StartFailed` unless it ended with 0."""
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
        """Wait for `condition()`, passing on output meanwhile. Raises `StartFailed` and `Stopped`."""
        deadline = time.monotonic() + timeout_seconds
        watched = self._watched.get(name)
        while not condition():
            if self.stop_requested:
                raise Stopped
            if watched and watched.child.exit_code is not None:
                raise StartFailed(f"{name} ended with {watched.child.exit_code}:\n{last_lines(watched.log)}")
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{name} was not ready after {timeout_seconds:g} s:\n{last_lines(self.log(name))}"
                )
            self.pass_on_output(_TICK_SECONDS)

    def keep_running(self) -> None:
        """Until a stop is asked for: pass on output and restart what died."""
        while not self.stop_requested:
            self.look_after_all()

    def look_after_all(self) -> None:
        """One look: wait a moment for output, pass it on, restart what is due."""
        self.pass_on_output(_TICK_SECONDS)
        for watched in self._watched.values():
            self._look_after(watched)

    def stop_all(self, together: list[list[str]]) -> None:
        """Stop the named groups one after the other, each group's programs at once; then whatever is left."""
        named = {name for group in together for name in group}
        rest = [[name] for name in reversed(self._watched) if name not in named]
        for group in [*together, *rest]:
            children = [self._watched[name].child for name in group if name in self._watched]
            for child in children:
                child.ask_to_stop()
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            while any(child.exit_code is None for child in children) and time.monotonic() < deadline:
                self.pass_on_output(_TICK_SECONDS)
            for child in children:
                child.stop(timeout_seconds=0)
        self.pass_on_output(0)
        self._note.unlink(missing_ok=True)

    def pids(self) -> dict[str, int]:
        """The process ids of what runs."""
        return {name: watched.child.pid for name, watched in self._watched.items()}

    def resident_bytes(self) -> int:
        """Resident memory of the supervisor and all below it; shared pages count for each process."""
        total = 0
        processes = [psutil.Process()]
        processes += processes[0].children(recursive=True)
        for process in processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
        return total

    def pass_on_output(self, timeout_seconds: float) -> None:
        """Write what the programs wrote to their logs and, where wanted, to the terminal."""
        for key, _ in self._selector.select(timeout_seconds):
            watched = self._watched.get(key.data)
            data = os.read(key.fd, _READ_BYTES)
            if not data:
                self._selector.unregister(key.fileobj)
                _close(key.fileobj)
            elif watched:
                self._write(watched, data)

    def _write(self, watched: _Watched, data: bytes) -> None:
        if watched.kept:
            with watched.log.open("ab") as log:
                log.write(data)
        if not watched.shown:
            return
        *lines, watched.half_line = (watched.half_line + data).split(b"\n")
        for line in lines:
            self._output.log_line(watched.child.name, line.decode(errors="replace"))

    def _spawn(self, program: Program) -> Child:
        child = Child(program, subprocess.PIPE)
        assert child.process.stdout is not None
        self._selector.register(child.process.stdout, selectors.EVENT_READ, program.name)
        return child

    def _look_after(self, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.child.exit_code is None:
            return
        if watched.restart_at is None:
            watched.child.end_group()
            watched.failures = 0 if now - watched.started_at > _WELL_AFTER_SECONDS else watched.failures + 1
            delay = min(_FIRST_RESTART_SECONDS * 2 ** max(watched.failures - 1, 0), _LONGEST_RESTART_SECONDS)
            watched.restart_at = now + delay
            self._output.warn(
                f"{watched.child.name} died ({_cause(watched.child)}); restarting in {delay:g} s, "
                f"its log is {watched.log}"
            )
        elif now >= watched.restart_at:
            watched.child = self._spawn(watched.prepare())
            watched.started_at, watched.restart_at = now, None
            stale_processes.note(self._note, (each.child for each in self._watched.values()))
            self._output.say(f"↻ {watched.child.name} restarted, process {watched.child.pid}", "green")


def _cause(child: Child) -> str:
    code = child.exit_code
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _close(stream: object) -> None:
    if hasattr(stream, "close"):
        stream.close()
