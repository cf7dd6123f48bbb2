"""What a subscription gives to whom: the terms its items carry, the accounts they reach, and what is due.

All of it follows from what is known of subscription, team and seats, and from what was granted before, so an
event that comes twice, late or in another order grants nothing twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Literal

from services.consumables.domain.grant_cycles import Cycle
from tallystick.messages.catalog import FeatureKind, Interval
from tallystick.messages.subscriptions import FINAL_STATUSES, GRANTING_STATUSES, ItemFeature, SubscriptionItem

GRANTING = GRANTING_STATUSES
"""Statuses in which units come; past due, until grace is over and the subscription is `restricted`."""
ENDED = FINAL_STATUSES
PLAN_PRIORITY = 100
"""Of units that a plan grants."""
CARRIED_PRIORITY = 90
"""Of units carried over: they expire with the new ones and are used before them."""

Reach = Literal["own", "pool", "seat"]
"""Whose the units are: the paying customer's, the team's together, or each claimed seat's."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subscription gives of one feature, to one kind of account, on one rhythm."""

    feature: str
    kind: FeatureKind
    reach: Reach
    every: Interval | None
    quantity: int | None
    """For each account, before its multiplier; None: unlimited."""
    rollover: int

    @property
    def slot(self) -> str:
        """Names the terms within a subscription; the same before and after a change of plan."""
        return f"{self.feature}.{self.reach}.{self.every or 'once'}"


def terms_of(items: Iterable[SubscriptionItem]) -> dict[str, Terms]:
    """By slot, what a subscription's items give; flags are no units. What several items give adds up."""
    found: dict[str, Terms] = {}
    for item in items:
        for given in item.features:
            for reach in _reaches(item, given):
                terms = _terms(item, given, reach)
                known = found.get(terms.slot)
                found[terms.slot] = _together(known, terms) if known else terms
    return found


def _reaches(item: SubscriptionItem, given: ItemFeature) -> list[Reach]:
    if given.kind == "flag":
        return []
    if item.seats is None or not given.team_allowed:
        return ["own"]
    if item.seats.strategy == "per_team":
        return ["pool"]
    # The payer's own seat is none that anybody claims: it brings no units, but what exists under a limit is
    # the payer's as much as anybody's.
    has_seat = given.kind == "limit" and item.seats.owner_seat != "none"
    return ["seat", "own"] if has_seat else ["seat"]


def _terms(item: SubscriptionItem, given: ItemFeature, reach: Reach) -> Terms:
    # Seats are multiplied by those who claim them; anything else is had as often as it was bought.
    times = item.quantity if item.seats is None else 1
    return Terms(
        feature=given.feature,
        kind=given.kind,
        reach=reach,
        # A limit is a ceiling on what exists; it does not come anew.
        every=given.every if given.kind == "consumable" else None,
        quantity=multiplied(given.quantity, times),
        rollover=given.rollover * times,
    )


def _together(one: Terms, other: Terms) -> Terms:
    quantity = None if one.quantity is None or other.quantity is None else one.quantity + other.quantity
    return replace(one, quantity=quantity, rollover=one.rollover + other.rollover)


def multiplied(quantity: int | None, multiplier: int) -> int | None:
    """A quantity so many times; unlimited stays unlimited."""
    return None if quantity is None else quantity * multiplier


@dataclass(frozen=True, slots=True)
class Granted:
    """What an account was granted under some terms in its latest cycle."""

    cycle: Cycle
    quantity: int | None
    """In that cycle, without what was carried over; None: unlimited."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be granted now."""

    quantity: int | None
    """New units; 0: none, None: unlimited."""
    carried: int
    """Of the cycle before."""
    closes: bool
    """Whether what is left of the cycle before is over."""


def due(
    wanted: int | None,
    rollover: int,
    cycle: Cycle,
    before: Granted | None,
    left: int,
    *,
    share: Fraction = Fraction(1),
) -> Due | None:
    """What an account is due in `cycle`, given what it was granted before and what is left of that.

    In a new cycle the whole of `wanted`; in the running one what is missing to it, or a `share` of that where
    a part of the cycle is asked for. Nothing is taken back. None: nothing is due.
    """
    if before is None:
        return Due(wanted, 0, closes=False)
    if cycle.start > before.cycle.start:
        missed = cycle.number - before.cycle.number - 1
        return Due(wanted, carried_over(left, before.quantity, rollover, missed), closes=True)
    if cycle.start < before.cycle.start:
        return None
    if before.quantity is None:
        # Unlimited until its cycle is over; what was granted once has no such end.
        return Due(wanted, 0, closes=True) if cycle.end is None and wanted is not None else None
    if wanted is None:
        return Due(None, 0, closes=False)
    missing = wanted - before.quantity
    return Due(rounded(missing * share), 0, closes=False) if missing > 0 else None


def carried_over(left: int, quantity: int | None, rollover: int, missed: int) -> int:
    """What goes along into a new cycle: as much as would have, had no cycle in between been missed.

    Units of a missed cycle could not be used, so they are left in full; they are not granted afterwards.
    """
    if quantity is None:
        return 0
    return min(rollover, min(rollover, left) + quantity * max(missed, 0))


def rounded(units: Fraction) -> int:
    """Whole units; halves are rounded up."""
    return int(units + Fraction(1, 2))


def share_left(cycle: Cycle, moment: datetime) -> Fraction:
    """Which part of a cycle is still to come, by the second; the whole of one without an end."""
    if cycle.end is None:
        return Fraction(1)
    seconds = int((cycle.end - cycle.start).total_seconds())
    left = int((cycle.end - moment).total_seconds())
    return Fraction(min(max(left, 0), seconds), seconds)


def effective_at(at: datetime, period_start: datetime, period_end: datetime) -> datetime:
    """The moment to grant for: `at`, kept within the billing period that is known to have been bought.

    A renewal that is not known yet grants nothing; one that is known has happened, whatever the clock says.
    """
    return max(period_start, min(at, _just_before(period_end)))


def _just_before(moment: datetime) -> datetime:
    return moment - datetime.resolution
