"""Notices missing, late and repeated events of an entity by its gapless `version`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import JsonValue

from tallystick.messages.base import entity_id

ENTITIES_MAX = 200_000
"""How many entities' versions are remembered, those that changed longest ago are forgotten: about 50 MB."""
MISSING_MAX = 1_000
"""How many missing versions of one entity are remembered, to recognise them when they arrive late."""


class Verdict(Enum):
    """What a version says about the event that carries it."""

    IN_ORDER = "in order"
    AFTER_GAP = "after a gap"
    LATE = "late"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Gap:
    """The versions that should have come before an event and did not."""

    expected: int
    found: int

    @property
    def missing(self) -> range:
        """The versions in between."""
        return range(self.expected, self.found)


def entity_key(entity: str, body: Mapping[str, JsonValue]) -> str | None:
    """Which entity an event is about, as one text (`subscription/sub_01h…`); None where that is not said."""
    snapshot = body.get(entity)
    if not isinstance(snapshot, dict):
        return None
    identified = entity_id(entity, snapshot)
    return f"{entity}/{identified}" if identified else None


@dataclass(slots=True)
class _Handled:
    """The versions of one entity that were handled: from `first` to `last`, but for `missing`."""

    first: int
    last: int
    missing: set[int] | None = None


class Versions:
    """Which versions of which entities were handled."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._entities = {key: _Handled(first=1, last=version) for key, version in (known or {}).items()}

    def look(self, key: str, version: int) -> tuple[Verdict, Gap | None]:
        """Judge an event before it is handled; changes nothing, so a redelivered one is judged the same."""
        handled = self._entities.get(key)
        if handled is None or version == handled.last + 1:
            return Verdict.IN_ORDER, None
        if version > handled.last:
            return Verdict.AFTER_GAP, Gap(expected=handled.last + 1, found=version)
        if version < handled.first or version in (handled.missing or ()):
            return Verdict.LATE, None
        return Verdict.REPEATED, None

    def handled(self, key: str, version: int) -> None:
        """Remember an event once it has been handled."""
        # Taken out and put in again, so that the dictionary's order is the order of change.
        handled = self._entities.pop(key, None)
        if handled is None:
            if len(self._entities) >= ENTITIES_MAX:
                del self._entities[next(iter(self._entities))]
            handled = _Handled(first=version, last=version)
        self._entities[key] = handled
        skipped = range(handled.last + 1, version) or range(version + 1, handled.first)
        if skipped:
            handled.missing = (handled.missing or set()) | set(skipped[-MISSING_MAX:])
        if handled.missing:
            handled.missing.discard(version)
        handled.first, handled.last = min(handled.first, version), max(handled.last, version)
