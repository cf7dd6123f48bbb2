"""The terms of a subscription, and the units that an account is due under them.

Everything is derived from the projected subscription, team and seats and from what was granted before.
Events that arrive twice, late or out of order therefore grant nothing twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Literal

from services.consumables.domain.balance import Grant
from services.consumables.domain.grant_cycles import Cycle
from tallystick.messages.catalog import FeatureKind, Interval
from tallystick.messages.subscriptions import FINAL_STATUSES, GRANTING_STATUSES, ItemFeature, SubscriptionItem

GRANTING = GRANTING_STATUSES
"""Subscription statuses that grant units; `past_due` does until the subscription is `restricted`."""
ENDED = FINAL_STATUSES
"""Subscription statuses that end all allotments."""
PLAN_PRIORITY = 100
"""The priority of grants made by a plan."""
CARRIED_PRIORITY = 90
"""The priority of rollover grants, which expire with the new grant and are drawn before it."""

Reach = Literal["own", "pool", "seat"]
"""Which accounts receive the units: the paying customer's, the team's pool, or each claimed seat's."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The units of one feature that a subscription grants to one kind of account in every cycle."""

    feature: str
    kind: FeatureKind
    reach: Reach
    every: Interval | None
    quantity: int | None
    """Units for each account, before its multiplier; None: unlimited."""
    rollover: int
    """The most unused units that are carried over into the next cycle."""

    @property
    def slot(self) -> str:
        """The key of the terms within a subscription, which a change of plan does not alter."""
        return f"{self.feature}.{self.reach}.{self.every or 'once'}"


def terms_of(items: Iterable[SubscriptionItem]) -> dict[str, Terms]:
    """Return the terms of a subscription's items by slot; flags have none, equal slots are added up."""
    found: dict[str, Terms] = {}
    for item in items:
        for feature in item.features:
            for reach in _reaches(item, feature):
                terms = _terms(item, feature, reach)
                known = found.get(terms.slot)
                found[terms.slot] = _combined(known, terms) if known else terms
    return found


def _reaches(item: SubscriptionItem, feature: ItemFeature) -> list[Reach]:
    if feature.kind == "flag":
        return []
    if item.seats is None or not feature.team_allowed:
        return ["own"]
    if item.seats.strategy == "per_team":
        return ["pool"]
    # Nobody claims the payer's own seat, so it grants no consumables. A limit applies to the payer as it does
    # to every member.
    has_seat = feature.kind == "limit" and item.seats.owner_seat != "none"
    return ["seat", "own"] if has_seat else ["seat"]


def _terms(item: SubscriptionItem, feature: ItemFeature, reach: Reach) -> Terms:
    # Each claimed seat has its own allotment; without seats the item's quantity multiplies the units.
    times = item.quantity if item.seats is None else 1
    return Terms(
        feature=feature.feature,
        kind=feature.kind,
        reach=reach,
        # A limit is a ceiling and has no cycles.
        every=feature.every if feature.kind == "consumable" else None,
        quantity=multiplied(feature.quantity, times),
        rollover=feature.rollover * times,
    )


def _combined(one: Terms, other: Terms) -> Terms:
    quantity = None if one.quantity is None or other.quantity is None else one.quantity + other.quantity
    return replace(one, quantity=quantity, rollover=one.rollover + other.rollover)


def multiplied(quantity: int | None, multiplier: int) -> int | None:
    """Multiply a quantity; unlimited (None) stays unlimited."""
    return None if quantity is None else quantity * multiplier


@dataclass(frozen=True, slots=True)
class Granted:
    """The latest cycle that was granted to an account under some terms."""

    cycle: Cycle
    quantity: int | None
    """Units granted in that cycle, without the rollover; None: unlimited."""


@dataclass(frozen=True, slots=True)
class Due:
    """Units to be granted now."""

    quantity: int | None
    """New units; 0: none, None: unlimited."""
    carried: int
    """Units carried over from the previous cycle."""
    closes: bool
    """Whether the grants of the previous cycle end."""
    taken_back: int = 0
    """Units of the running cycle that expire, because the plan gives fewer now."""
    withheld: int = 0
    """Units of a cycle cut short that were used before it had paid for them; the new cycle gives fewer."""


@dataclass(frozen=True, slots=True)
class Held:
    """The units that a plan has granted in a cycle."""

    remaining: int
    in_use: int
    """Consumed or reserved units, and units withheld for what an earlier cycle had not paid for."""
    unused: int
    """Units that were never used, whether or not they have expired since."""
    carried: int
    """Unused units among those that were carried over into the cycle."""

    def left_of(self, quantity: int | None) -> int:
        """Return what is left of a cycle that gave `quantity` in the end: nothing that was taken back."""
        own = self.unused if quantity is None else min(self.unused, max(0, quantity - self.in_use))
        return own + self.carried


NOTHING_HELD = Held(0, 0, 0, 0)


def held_units(grants: Iterable[Grant], withheld: int = 0) -> Held:
    """Return what a plan's grants of a cycle hold, its own ones and those carried over."""
    of_cycle = list(grants)
    own = [grant for grant in of_cycle if grant.priority == PLAN_PRIORITY]
    return Held(
        remaining=sum(grant.remaining for grant in own),
        in_use=withheld + sum(grant.in_use for grant in own),
        unused=sum(grant.unused for grant in own),
        carried=sum(grant.unused for grant in of_cycle if grant.priority != PLAN_PRIORITY),
    )


def due(
    quantity: int | None,
    rollover: int,
    cycle: Cycle,
    before: Granted | None,
    held: Held = NOTHING_HELD,
    *,
    share: Fraction = Fraction(1),
    paid: Fraction = Fraction(1),
    takes_back: bool = True,
) -> Due | None:
    """Return what an account is due in `cycle`, or None if nothing is due.

    A new cycle grants all of `quantity` and carries over what is left of the cycle `before`, up to
    `rollover`. In the running cycle the plan's own units become `quantity` less what was used of them, never
    below zero: the difference is granted, or only a `share` of it if the top-up is prorated, or it is taken
    back, if the decrease is one that `takes_back`. What was carried over is not touched.

    `paid` is the part of the cycle `before` that was paid before a new billing period cut it short. Units
    used beyond that part are withheld from the new cycle, and no more than that part is carried over.
    """
    if before is None:
        return Due(quantity, 0, closes=False)
    if cycle.start > before.cycle.start:
        missed = cycle.number - before.cycle.number - 1
        if paid < 1 and before.quantity is not None:
            return _due_after_cut(quantity, rollover, rounded(before.quantity * paid), held)
        left = held.left_of(before.quantity)
        return Due(quantity, carried_over(left, before.quantity, rollover, missed), closes=True)
    if cycle.start < before.cycle.start:
        return None
    if before.quantity is None:
        # An unlimited grant lasts until its cycle ends. A grant without cycles has no such end and is
        # replaced at once.
        return Due(quantity, 0, closes=True) if cycle.end is None and quantity is not None else None
    if quantity is None:
        return Due(None, 0, closes=False)
    missing = quantity - max(before.quantity, held.in_use)
    if missing > 0:
        return Due(rounded(missing * share), 0, closes=False)
    excess = held.remaining - max(0, quantity - held.in_use)
    if takes_back and quantity < before.quantity:
        return Due(0, 0, closes=False, taken_back=max(0, excess))
    return None


def _due_after_cut(quantity: int | None, rollover: int, paid_for: int, held: Held) -> Due:
    carried = min(rollover, max(0, paid_for - held.in_use) + held.carried)
    if quantity is None:
        return Due(None, carried, closes=True)
    withheld = max(0, held.in_use - paid_for)
    return Due(max(0, quantity - withheld), carried, closes=True, withheld=withheld)


def carried_over(left: int, quantity: int | None, rollover: int, missed: int) -> int:
    """Return the rollover into a new cycle, as if the missed cycles in between had been granted on time.

    Nobody could use the units of a missed cycle, so all of them count as left. They are not granted later.
    """
    if quantity is None:
        return 0
    return min(rollover, min(rollover, left) + quantity * max(missed, 0))


def rounded(units: Fraction) -> int:
    """Round to whole units, halves up."""
    return int(units + Fraction(1, 2))


def share_left(cycle: Cycle, moment: datetime) -> Fraction:
    """Return the part of a cycle that remains at a moment, by the second; 1 for a cycle without an end."""
    if cycle.end is None:
        return Fraction(1)
    seconds = int((cycle.end - cycle.start).total_seconds())
    left = int((cycle.end - moment).total_seconds())
    return Fraction(min(max(left, 0), seconds), seconds)


def effective_at(at: datetime, period_start: datetime, period_end: datetime) -> datetime:
    """Return the moment to grant for: `at`, clamped to the latest billing period that is known to be bought.

    A renewal that is not known yet grants nothing. A period that is known has begun, even if the clock is
    still before it.
    """
    return max(period_start, min(at, _just_before(period_end)))


def _just_before(moment: datetime) -> datetime:
    return moment - datetime.resolution
