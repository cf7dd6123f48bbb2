"""Clean-up of processes left by a supervisor that was killed.

On Linux the kernel has already signalled them; this is for other systems, and for processes that take long to
stop.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from sandbox.managed_process import STOP_TIMEOUT_SECONDS, Child

# Tolerance between the start time reported by the system and the recorded one.
_SAME_START_SECONDS = 0.01


class AlreadyRunning(Exception):
    """Another supervisor uses the same directory."""


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Lock the directory for one supervisor. Raises `AlreadyRunning`. The lock ends with the process."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"Another `./dev up` is running on {directory}.") from None
        yield


def note(path: Path, children: Iterable[Child]) -> None:
    """Record the running processes with their start times, so that reused process ids are recognised."""
    entries = []
    for child in children:
        with contextlib.suppress(psutil.Error):
            entries.append({"pid": child.pid, "started": psutil.Process(child.pid).create_time()})
    path.write_text(json.dumps(entries))


def end(path: Path) -> list[int]:
    """Stop every recorded process that still runs; return their ids."""
    found = [process for entry in _entries(path) if (process := _same_process(entry))]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, remaining = psutil.wait_procs(found, timeout=STOP_TIMEOUT_SECONDS)
    for process in remaining:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(remaining, timeout=STOP_TIMEOUT_SECONDS)
    path.unlink(missing_ok=True)
    return [process.pid for process in found]


def _entries(path: Path) -> list[dict[str, float]]:
    try:
        entries: list[dict[str, float]] = json.loads(path.read_text())
    except (OSError, ValueError):  # never written, or written incompletely when the machine stopped
        return []
    return entries


def _same_process(entry: dict[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        return process if abs(process.create_time() - entry["started"]) < _SAME_START_SECONDS else None
    except psutil.Error:
        return None
