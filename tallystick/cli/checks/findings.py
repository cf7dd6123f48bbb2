"""Results of the checks, with advice."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """Severity of a finding."""

    GOOD = "good"
    ODD = "odd"
    """Works, but needs attention."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Cannot be checked from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    level: Level
    what: str
    detail: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """Return the finding as JSON."""
        return {"level": self.level.value, "what": self.what, "detail": self.detail, "advice": self.advice}
