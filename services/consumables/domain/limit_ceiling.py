"""How a ceiling moves: what comes to be free below it, and what is in use above it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much may exist at one time."""

    units: int
    is_unlimited: bool = False

    def plus(self, shares: Iterable[int | None]) -> "Ceiling":
        """The ceiling with more that add to it; None is unlimited."""
        given = list(shares)
        units = self.units + sum(share for share in given if share is not None)
        return Ceiling(units, self.is_unlimited or None in given)


@dataclass(frozen=True, slots=True)
class CeilingChange:
    """What must happen to a balance so that it has a ceiling."""

    more: int
    """Units to be granted."""
    lapsing: int
    """Units that nobody uses and that are there no more."""
    excess: int
    """Units in use above the ceiling: released ones count towards it before they are free."""


def moved_to(ceiling: Ceiling, in_use: int, remaining: int) -> CeilingChange:
    """From what is in use and what remains to what should: no more than the ceiling, nothing in use lost."""
    if ceiling.is_unlimited:
        return CeilingChange(0, 0, 0)
    free = max(0, ceiling.units - in_use)
    return CeilingChange(
        more=max(0, free - remaining),
        lapsing=max(0, remaining - free),
        excess=max(0, in_use - ceiling.units),
    )
