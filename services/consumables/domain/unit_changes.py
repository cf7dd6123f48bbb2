"""What units that are due do to balances, summed up by feature for the preview of a change."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from services.consumables.domain.allotments import NOTHING_HELD, Due, Held
from services.consumables.domain.balance import Grant
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions.units import UnitsChange


class UnitChange(NamedTuple):
    """What units due do to one balance."""

    change: int
    """Units added, or below zero: taken back. What is carried over into a new cycle is part of it."""
    remaining: int
    """What then remains of the plan's own units of the cycle."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What a change does to the units of one feature that a plan gives to one account."""

    feature: str
    account: str
    units: UnitChange | None
    """None: they are unlimited before the change or after it."""
    every: Interval | None
    """How often the plan gives units; None: once."""
    later: int
    """Units that each later cycle gives, if there are any."""


def unit_change(due: Due | None, held: Held = NOTHING_HELD, grants: Iterable[Grant] = ()) -> UnitChange:
    """Return what limited units due do to a balance in which the plan has these grants of the last cycle."""
    if due is None:
        return UnitChange(0, held.remaining)
    given = due.quantity or 0
    if due.closes:
        return UnitChange(given + due.carried - sum(grant.remaining for grant in grants), given)
    change = given - due.taken_back
    return UnitChange(change, held.remaining + change)


def sum_by_feature(changes: Iterable[AccountChange]) -> list[UnitsChange]:
    """Return the sums over the accounts by feature; features that are unlimited anywhere are left out."""
    by_feature: dict[str, list[AccountChange]] = defaultdict(list)
    for change in changes:
        by_feature[change.feature].append(change)
    return [
        _sum(feature, parts)
        for feature, parts in sorted(by_feature.items())
        if all(one.units for one in parts)
    ]


def _sum(feature: str, parts: list[AccountChange]) -> UnitsChange:
    units = [one.units for one in parts if one.units is not None]
    cycles = [one.later for one in parts if one.every is not None]
    intervals = {one.every for one in parts}
    return UnitsChange(
        feature=feature,
        change=sum(one.change for one in units),
        remaining=sum(one.remaining for one in units),
        every=intervals.pop() if len(intervals) == 1 else None,
        next_cycle=sum(cycles) if cycles else None,
        accounts=len({one.account for one in parts}),
    )
