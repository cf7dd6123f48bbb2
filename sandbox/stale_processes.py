"""Ends what an earlier supervisor left behind when it was killed before it could stop anything.

On Linux the kernel has told the programs to end already; this does it elsewhere, and for one that takes its
time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from sandbox.managed_process import STOP_TIMEOUT_SECONDS, Child

# Two clocks are compared: when the process says it started, and when we noted it.
_SAME_START_SECONDS = 0.01


class AlreadyRunning(Exception):
    """Another supervisor works on the same directory."""


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold the directory for one supervisor. Raises `AlreadyRunning`. The lock ends with the process."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"Another `./dev up` is running on {directory}.") from None
        yield


def note(path: Path, children: Iterable[Child]) -> None:
    """Write down who runs, so that a later start can tell them from strangers with the same process id."""
    entries = []
    for child in children:
        with contextlib.suppress(psutil.Error):
            entries.append({"pid": child.pid, "started": psutil.Process(child.pid).create_time()})
    path.write_text(json.dumps(entries))


def end(path: Path) -> list[int]:
    """End every noted process that still runs; gives their ids."""
    found = [process for entry in _entries(path) if (process := _same_process(entry))]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(found, timeout=STOP_TIMEOUT_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=STOP_TIMEOUT_SECONDS)
    path.unlink(missing_ok=True)
    return [process.pid for process in found]


def _entries(path: Path) -> list[dict[str, float]]:
    try:
        entries: list[dict[str, float]] = json.loads(path.read_text())
    except (OSError, ValueError):  # never written, or the machine stopped in the middle of it
        return []
    return entries


def _same_process(entry: dict[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        return process if abs(process.create_time() - entry["started"]) < _SAME_START_SECONDS else None
    except psutil.Error:
        return None
