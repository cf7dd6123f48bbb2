"""Notices missing, late and repeated events of an entity by its gapless `version`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import JsonValue

ENTITIES_MAX = 200_000
"""How many entities' versions are remembered, those that changed longest ago are forgotten: about 50 MB."""
MISSING_MAX = 1_000
"""How many missing versions of one entity are remembered, to recognise them when they arrive late."""

IDENTITIES: Mapping[str, tuple[str, ...]] = {
    "billing_team": ("team_id",),
    "consumable": ("account", "feature"),
}
"""What identifies an entity, where that is not `<entity>_id`."""


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
    parts = [snapshot.get(field) for field in IDENTITIES.get(entity, (f"{entity}_id",))]
    if not all(isinstance(part, str) for part in parts):
        return None
    return "/".join((entity, *(str(part) for part in parts)))


class Versions:
    """The last handled version of each entity, and which ones before it never came."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._last: dict[str, int] = dict(known or {})
        self._missing: dict[str, set[int]] = {}

    def look(self, key: str, version: int) -> tuple[Verdict, Gap | None]:
        """Judge an event before it is handled; changes nothing, so a redelivered one is judged the same."""
        last = self._last.get(key)
        if last is None or version == last + 1:
            return Verdict.IN_ORDER, None
        if version > last:
            return Verdict.AFTER_GAP, Gap(expected=last + 1, found=version)
        if version in self._missing.get(key, ()):
            return Verdict.LATE, None
        return Verdict.REPEATED, None

    def handled(self, key: str, version: int) -> None:
        """Remember an event once it has been handled."""
        # Taken out and put in again, so that the dictionary's order is the order of change.
        last = self._last.pop(key, None)
        if last is None:
            if len(self._last) >= ENTITIES_MAX:
                forgotten = next(iter(self._last))
                del self._last[forgotten]
                self._missing.pop(forgotten, None)
        elif version > last + 1:
            missing = self._missing.setdefault(key, set())
            missing.update(range(max(last + 1, version - MISSING_MAX), version))
        elif version <= last:
            self._missing.get(key, set()).discard(version)
        self._last[key] = version if last is None else max(version, last)
