"""Allotments as they are loaded and updated: the units that accounts are entitled to under their terms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, NamedTuple

from services.consumables.domain.allotments import (
    PLAN_PRIORITY,
    Due,
    Granted,
    Held,
    due,
    effective_at,
    held_units,
    multiplied,
    share_left,
)
from services.consumables.domain.balance import Grant
from services.consumables.domain.grant_cycles import ONCE, Cycle, boundary, cycle_at
from services.consumables.domain.overrides import NO_END, PREFIX, REASON
from services.consumables.ledger.repository import Account
from tallystick.messages.catalog import Interval
from tallystick.messages.consumables import GrantSource

Position = tuple[datetime, str, str, str]
"""The key of the last allotment of a batch: `next_at`, subscription, account and slot."""
START: Position = (datetime(1970, 1, 1, tzinfo=UTC), "", "", "")
"""The position before all allotments."""


class Allotment(NamedTuple):
    """An allotment with its terms and the projection of its subscription."""

    subscription_id: str
    slot: str
    account: str
    feature: str
    kind: str
    reach: str
    every: Interval | None
    quantity: int | None
    rollover: int
    offered: bool
    sold: bool
    multiplier: int
    prorated: bool
    cycle_number: int | None
    cycle_start: datetime | None
    granted: int | None
    grant_ids: list[str]
    next_at: datetime
    customer: str
    product: str | None
    anchor: datetime
    period_start: datetime
    period_end: datetime
    ended_at: datetime | None
    ends_at: datetime | None
    withheld: int
    cut_at: datetime | None

    @property
    def position(self) -> Position:
        """The allotment's position in the order of granting."""
        return (self.next_at, self.subscription_id, self.account, self.slot)

    @property
    def cycle_quantity(self) -> int | None:
        """The units that the account is entitled to in a cycle; None: unlimited."""
        return multiplied(self.quantity, self.multiplier) if self.offered else 0

    @property
    def is_override(self) -> bool:
        """Whether an override gives the units."""
        return self.subscription_id.startswith(PREFIX)

    @property
    def until(self) -> datetime | None:
        """When the subscription or override ends that gives the units; None: no end is set."""
        if self.is_override:
            return self.period_end if self.period_end != NO_END else None
        return self.ends_at

    def by_the_clock(self, at: datetime) -> "Allotment":
        """Return the allotment as it is at a time: what is over by then gives nothing, told or not."""
        return self._replace(offered=False) if self.until is not None and self.until <= at else self

    def grant_end(self, cycle: Cycle) -> datetime | None:
        """Return when the grants of a cycle expire: with the cycle, or before with what gives them."""
        return min((end for end in (cycle.end, self.until) if end is not None), default=None)

    @property
    def takes_back(self) -> bool:
        """Whether a decrease takes units back: one of the purchase does, one by an override does not."""
        is_overridden = self.sold and not self.offered
        return not is_overridden and not self.is_override

    @property
    def balance(self) -> Account:
        """The balance that receives the units."""
        return Account(self.account, self.feature, self.kind, self.customer)


@dataclass(frozen=True, slots=True)
class AllotmentUpdate:
    """The new values of an allotment's row."""

    cycle: Cycle | None
    granted: int | None
    grant_ids: Sequence[str]
    next_at: datetime | None
    closed: bool = False
    withheld: int = 0


def previously_granted(row: Allotment) -> Granted | None:
    """Return what was granted in the latest cycle, or None if nothing was granted yet."""
    if row.cycle_number is None or row.cycle_start is None:
        return None
    return Granted(Cycle(row.cycle_number, row.cycle_start, None), row.granted)


class CycleUnits(NamedTuple):
    """The units of an allotment in the running cycle, as they are and as they are due."""

    cycle: Cycle
    before: Granted | None
    """The latest cycle that was granted."""
    own: list[Grant]
    """The plan's own grants of that cycle, without what was carried over."""
    held: Held
    due: Due | None
    """What is due now; None: nothing."""


def units_due(row: Allotment, grants: list[Grant], at: datetime) -> CycleUnits:
    """Return what is due to an allotment with these grants at a moment, unless its subscription has ended."""
    before, own = without_ended_giver(row, [one for one in grants if one.priority == PLAN_PRIORITY])
    cycle = cycle_at(row.anchor, row.every, effective_at(at, row.period_start, row.period_end))
    held = held_units([*own, *(one for one in grants if one.priority != PLAN_PRIORITY)], row.withheld)
    units = due(
        row.cycle_quantity,
        row.rollover if row.offered else 0,
        cycle,
        before,
        held,
        share=share_left(cycle, at) if row.prorated else Fraction(1),
        paid=_paid_share(row, before, cycle),
        takes_back=row.takes_back,
    )
    return CycleUnits(cycle, before, own, held, units)


def _paid_share(row: Allotment, before: Granted | None, cycle: Cycle) -> Fraction:
    """Return the part of the latest cycle that is paid: all of it, unless a new period has cut it short."""
    if before is None or row.every is None or row.cut_at is None or cycle.start != row.cut_at:
        return Fraction(1)
    start = before.cycle.start
    cut = Cycle(before.cycle.number, start, boundary(start, row.every, 1))
    return 1 - share_left(cut, row.cut_at)


def without_ended_giver(row: Allotment, own: list[Grant]) -> tuple[Granted | None, list[Grant]]:
    """Return what was granted in the latest cycle, and the grants that count for it.

    Units that ended with an earlier override are given again by the next, less what was used in the cycle; so
    are those of a plan whose end was moved, if that is told after the old end.
    """
    before = previously_granted(row)
    if before is None or not own or not all(grant.has_ended for grant in own):
        return before, own
    if not row.is_override and not _ended_with_the_plan(row, before.cycle, own):
        return before, own
    in_cycle = row.withheld + sum(grant.in_use for grant in own if grant.quantity is not None)
    used = 0 if row.every is None else in_cycle
    return replace(before, quantity=used if before.quantity is None else min(used, before.quantity)), []


def _ended_with_the_plan(row: Allotment, granted: Cycle, own: list[Grant]) -> bool:
    """Whether grants have expired before their cycle was over."""
    cycle = cycle_at(row.anchor, row.every, granted.start)
    expired_at = [grant.expires_at for grant in own if grant.expires_at is not None and not grant.is_revoked]
    return (
        cycle.start == granted.start
        and len(expired_at) == len(own)
        and all(cycle.end is None or at < cycle.end for at in expired_at)
    )


def grant_source(row: Allotment, kind: str = "subscription") -> dict[str, Any]:
    """Return the source of an allotment's grants as in messages."""
    if row.is_override:
        return GrantSource(kind="manual", reason=REASON).model_dump(mode="json")
    return {
        "kind": kind,
        "subscription_id": row.subscription_id,
        "product": row.product,
        "recharge_id": None,
        "reason": None,
    }


def grant_key(row: Allotment, cycle: Cycle, number: int) -> str:
    """Return the unique key of an allotment's grant with this number in a cycle."""
    start = "once" if cycle == ONCE else cycle.start.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{row.subscription_id}/{row.slot}/{row.account}/{start}/{number}"
