"""What an examination found, and what to do about it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    GOOD = "good"
    ODD = "odd"
    """It works, and somebody should look."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """It cannot be seen from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    detail: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """For programs."""
        return {"level": self.level.value, "what": self.what, "detail": self.detail, "advice": self.advice}
