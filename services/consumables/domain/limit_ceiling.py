"""Ceilings of limits: which units to grant, expire or count as excess when a ceiling changes."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How many units of a limit may be in use at one time."""

    units: int
    is_unlimited: bool = False

    def plus(self, shares: Iterable[int | None]) -> "Ceiling":
        """Return the ceiling with further shares added; a share of None is unlimited."""
        shares = list(shares)
        units = self.units + sum(share for share in shares if share is not None)
        return Ceiling(units, self.is_unlimited or None in shares)


@dataclass(frozen=True, slots=True)
class CeilingChange:
    """The changes that give a balance its ceiling."""

    more: int
    """Units to grant."""
    expiring: int
    """Unused units to expire."""
    excess: int
    """Units in use above the ceiling; releasing units reduces this before any are free again."""


def ceiling_change(ceiling: Ceiling, in_use: int, remaining: int) -> CeilingChange:
    """Return the changes that make a balance fit its ceiling without taking away units in use."""
    if ceiling.is_unlimited:
        return CeilingChange(0, 0, 0)
    free = max(0, ceiling.units - in_use)
    return CeilingChange(
        more=max(0, free - remaining),
        expiring=max(0, remaining - free),
        excess=max(0, in_use - ceiling.units),
    )
