"""Detection of missing, late and repeated events by the gapless `version` of each entity."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import JsonValue

from tallystick.messages.base import entity_id

ENTITIES_MAX = 200_000
"""Number of entities whose versions are kept, about 50 MB; the least recently changed are dropped first."""
MISSING_MAX = 1_000
"""Number of missing versions kept per entity, to recognise them when they arrive late."""


class Verdict(Enum):
    """Result of a version check."""

    IN_ORDER = "in order"
    AFTER_GAP = "after a gap"
    LATE = "late"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Gap:
    """Versions that are missing before an event."""

    expected: int
    found: int

    @property
    def missing(self) -> range:
        """Missing versions."""
        return range(self.expected, self.found)


def entity_key(entity: str, body: Mapping[str, JsonValue]) -> str | None:
    """Return the entity type and id of an event (`subscription/sub_01h…`); None if the id is missing."""
    snapshot = body.get(entity)
    if not isinstance(snapshot, dict):
        return None
    identifier = entity_id(entity, snapshot)
    return f"{entity}/{identifier}" if identifier else None


@dataclass(slots=True)
class _HandledVersions:
    """Handled versions of one entity: `first` to `last`, except `missing`."""

    first: int
    last: int
    missing: set[int] | None = None


class Versions:
    """Handled versions by entity."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._entities = {
            key: _HandledVersions(first=1, last=version) for key, version in (known or {}).items()
        }

    def look(self, key: str, version: int) -> tuple[Verdict, Gap | None]:
        """Check an event before it is handled. Changes nothing, so a redelivery gets the same verdict."""
        handled = self._entities.get(key)
        if handled is None or version == handled.last + 1:
            return Verdict.IN_ORDER, None
        if version > handled.last:
            return Verdict.AFTER_GAP, Gap(expected=handled.last + 1, found=version)
        if version < handled.first or version in (handled.missing or ()):
            return Verdict.LATE, None
        return Verdict.REPEATED, None

    def handled(self, key: str, version: int) -> None:
        """Record an event as handled."""
        # Removed and inserted again, so that the dictionary is ordered by last change.
        handled = self._entities.pop(key, None)
        if handled is None:
            if len(self._entities) >= ENTITIES_MAX:
                del self._entities[next(iter(self._entities))]
            handled = _HandledVersions(first=version, last=version)
        self._entities[key] = handled
        skipped = range(handled.last + 1, version) or range(version + 1, handled.first)
        if skipped:
            handled.missing = (handled.missing or set()) | set(skipped[-MISSING_MAX:])
        if handled.missing:
            handled.missing.discard(version)
        handled.first, handled.last = min(handled.first, version), max(handled.last, version)
