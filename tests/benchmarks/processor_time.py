"""Processor time that the programs of a benchmark have used."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil

from tests.support.stack import Stack


def cpu_seconds(running: Stack) -> dict[str, float]:
    """Return the time used so far by each program with its children."""
    found = dict.fromkeys(running.children, 0.0)
    for name, child in running.children.items():
        program = psutil.Process(child.pid)
        for process in [program, *program.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[name] += times.user + times.system
    return found


def cpu_us_each(rounds: Iterable[Mapping[str, float]], count: int) -> dict[str, int]:
    """Return the microseconds for each of so many items; two processors have 2,000,000 a second for all."""
    totals: dict[str, float] = {}
    for used in rounds:
        for name, seconds in used.items():
            totals[name] = totals.get(name, 0.0) + seconds
    return {name: round(seconds / count * 1e6) for name, seconds in totals.items()}
