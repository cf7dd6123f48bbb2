"""Usage alerts: which percentages of a balance's units are reached, and when the next one is."""

from collections.abc import Iterable
from typing import NamedTuple

NONE_AHEAD = -1
"""The level of a balance with alerts of which none is ahead; no balance remains below it."""


class Reached(NamedTuple):
    """The alerts that a usage has reached."""

    crossed: list[int]
    """Those to be told now, in ascending order."""
    reached: list[int]
    """All that are reached."""
    level: int
    """The next one is reached when no more units than these remain."""


def reach(
    percents: Iterable[int], before: Iterable[int], total: int | None, remaining: int, *, is_armed: bool
) -> Reached:
    """Return what a balance of `total` units has reached with `remaining` left.

    With `is_armed`, after a grant, alerts that are not reached any more may be reached again. An unlimited
    balance (None), and one without units, reaches none.
    """
    known = sorted(before)
    if not total:
        return Reached([], [] if is_armed else known, NONE_AHEAD)
    used = max(0, total - remaining)
    done = [percent for percent in percents if used * 100 >= percent * total]
    kept = [percent for percent in known if percent in done] if is_armed else known
    crossed = sorted(percent for percent in done if percent not in kept)
    ahead = [percent for percent in percents if percent not in kept and percent not in crossed]
    level = total * (100 - min(ahead)) // 100 if ahead else NONE_AHEAD
    return Reached(crossed, sorted({*kept, *crossed}), level)
