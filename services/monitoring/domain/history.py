"""The history of an entity, as runs of versions that say the same.

Events come in any order, more than once, and most of them change nothing that counts here. A run stands for
consecutive versions with equal content. The order in which versions are added makes no difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Run(Generic[Content]):
    """Consecutive versions of an entity with the same content; `at` is the time of the first one."""

    first: int
    last: int
    at: datetime
    content: Content


def add_version(runs: Sequence[Run[Content]], added: Run[Content]) -> list[Run[Content]]:
    """Return the runs with one more version, sorted; a version that is known already changes nothing."""
    if any(run.first <= added.first <= run.last for run in runs):
        return list(runs)
    merged: list[Run[Content]] = []
    for run in sorted([*runs, added], key=lambda run: run.first):
        before = merged[-1] if merged else None
        if before is not None and before.last + 1 == run.first and before.content == run.content:
            merged[-1] = replace(before, last=run.last)
        else:
            merged.append(run)
    return merged


def add_versions(runs: Sequence[Run[Content]], added: Iterable[Run[Content]]) -> list[Run[Content]]:
    """Return the runs with several more versions."""
    for version in added:
        runs = add_version(runs, version)
    return list(runs)
