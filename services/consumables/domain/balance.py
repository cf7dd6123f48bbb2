"""Balances and their grants in memory, and the operations that move units.

A unit is in exactly one state: remaining, reserved, consumed or expired. `move` changes the state of units in
the grant and in its balance, and records a ledger entry.

The ceiling of a limit follows from its balance: remaining - excess = ceiling - units in use, where units in
use of unlimited grants that have not ended are not counted. Every function here preserves this equation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tallystick.messages.consumables import EntryKind
from tallystick.messages.consumables.types import PRIORITY_MAX

NEVER = datetime.max.replace(tzinfo=UTC)
OVERAGE_PRIORITY = PRIORITY_MAX + 1
"""The priority of grants for units beyond the included ones, which are not drawn in the order of grants."""


class Cause(NamedTuple):
    """The command that moved units, with the fields that its ledger entries record."""

    command_id: str
    consumer: str | None = None
    """The token of the customer who consumed or reserved the units."""
    reservation_id: str | None = None
    metadata: Mapping[str, str] | None = None
    occurred_at: datetime | None = None
    """When the units were used, if that was reported later."""


class Entry(NamedTuple):
    """A ledger entry: units of one grant that changed state."""

    grant: "Grant"
    kind: EntryKind
    quantity: int
    cause: Cause | None
    """None: the service itself granted or expired the units."""


class Part(NamedTuple):
    """Units of one grant that were consumed or reserved."""

    grant: "Grant"
    quantity: int


class Drawn(NamedTuple):
    """Units drawn by a command."""

    parts: list[Part]
    quantity: int
    remaining: int | None
    """Units that the consumer may still draw; None: unlimited."""


class Insufficient(NamedTuple):
    """Too few units are available; none were drawn."""

    available: int


class NewGrant(NamedTuple):
    """A grant to be made."""

    grant_id: str
    quantity: int | None
    """None: unlimited."""
    expires_at: datetime | None
    priority: int
    source: dict[str, Any]
    key: str | None
    """What the grant is for; unique among all grants."""


@dataclass(slots=True, eq=False)
class Grant:
    """A grant and the states of its units."""

    balance: "Balance"
    grant_id: str
    quantity: int | None
    """None: unlimited; then none of its units are remaining or expired."""
    consumed: int
    reserved: int
    expired: int
    remaining: int
    expires_at: datetime | None
    priority: int
    created_at: datetime
    version: int
    has_ended: bool
    is_revoked: bool
    is_changed: bool = False
    is_moved: bool = False
    """Whether it expires at another time than the stored one."""
    new: NewGrant | None = None
    """The values of a grant that is not in the database yet; None for a stored one."""

    @property
    def order(self) -> tuple[datetime, int, datetime, str]:
        """The sort key of drawing: soonest to expire, then lowest priority, then oldest."""
        return (self.expires_at or NEVER, self.priority, self.created_at, self.grant_id)

    @property
    def in_use(self) -> int:
        """Units that are consumed or reserved."""
        return self.consumed + self.reserved

    @property
    def unused(self) -> int:
        """Units never used: the remaining ones and, unless the grant was revoked, the expired ones."""
        return self.remaining + (0 if self.is_revoked else self.expired)

    @property
    def is_overage(self) -> bool:
        """Whether its units are beyond the included ones, and owed."""
        return self.priority == OVERAGE_PRIORITY

    @property
    def is_drawable(self) -> bool:
        """Whether units can be drawn from it; for an ended grant of a limit, units released since then."""
        return self.remaining > 0 or (self.quantity is None and not self.has_ended and not self.is_overage)

    @property
    def is_open(self) -> bool:
        """Whether units can be drawn or owed from it, or its expiry will lower the ceiling of a limit."""
        if self.is_drawable:
            return True
        is_limit_to_end = self.expires_at is not None and self.balance.kind == "limit"
        return not self.has_ended and (is_limit_to_end or self.is_overage)


@dataclass(slots=True, eq=False)
class Balance:
    """The units of one feature in an account, with the grants that they belong to."""

    account: str
    feature: str
    kind: str
    customer: str
    is_suspended: bool
    version: int
    granted: int
    beyond: int
    """Units consumed and reserved that were drawn from unlimited grants."""
    consumed: int
    reserved: int
    expired: int
    remaining: int
    unlimited: int
    """How many unlimited grants are open."""
    excess: int
    """Units of a limit in use above its lowered ceiling."""
    last_granted: int
    threshold: int | None
    suspends_at: datetime | None = None
    """When its account will be suspended, unless what is due is paid."""
    alert_at: int | None = None
    """The next usage alert is reached when no more units than these remain; None: there are no alerts."""
    crossed: list[int] = field(default_factory=list)
    """The percentages of usage alerts that this transaction has reached."""
    grants: list[Grant] = field(default_factory=list)
    """In the order of drawing."""
    entries: list[Entry] = field(default_factory=list)
    emitted: int = 0
    """How many of the entries have been emitted in an event."""
    is_changed: bool = False
    has_lost_unlimited: bool = False
    remaining_before: int = 0
    expired_by_time: int = 0
    """Units that were found to have expired when the balance was loaded."""
    was_unlimited: bool = False

    @property
    def key(self) -> str:
        """The key of the balance in the `billing_balances` bucket."""
        return f"{self.account.replace(':', '_', 1)}.{self.feature}"

    def attach_grants(self, grants: Iterable[Grant], now: datetime) -> None:
        """Attach the loaded grants, and end those that have expired by `now`, and a grace period."""
        if self.suspends_at is not None and self.suspends_at <= now:
            self.is_suspended = True
        self.remaining_before, self.was_unlimited = self.remaining, self.unlimited > 0
        self.grants = sorted(grants, key=_order)
        for grant in self.grants:
            if not grant.has_ended and grant.expires_at is not None and grant.expires_at <= now:
                end(grant)
        self.expired_by_time = self.remaining_before - self.remaining

    @property
    def level(self) -> int:
        """The balance is low below this number: the threshold, or a fifth of the last grant plus one."""
        return self.threshold if self.threshold is not None else self.last_granted // 5 + 1


def _order(grant: Grant) -> tuple[datetime, int, datetime, str]:
    return grant.order


def burn_order(balances: Sequence[Balance]) -> list[Grant]:
    """Return the grants of several balances in the order of drawing."""
    if len(balances) == 1:
        return balances[0].grants
    return sorted((grant for balance in balances for grant in balance.grants), key=_order)


def draw(
    balances: Sequence[Balance],
    grants: Sequence[Grant],
    quantity: int,
    kind: EntryKind,
    cause: Cause,
    *,
    partial: bool = False,
) -> Drawn | Insufficient:
    """Draw units from grants that are in the order of drawing: all units or none, unless `partial`."""
    drawable = available(balances)
    if drawable is not None and drawable < quantity:
        if not partial or drawable == 0:
            return Insufficient(drawable)
        quantity = drawable
    parts = take(grants, quantity, kind, cause)
    return Drawn(parts, quantity, None if drawable is None else drawable - quantity)


def available(balances: Iterable[Balance]) -> int | None:
    """Return how many units can be drawn in total; None: unlimited."""
    total = 0
    for balance in balances:
        if balance.unlimited:
            return None
        total += balance.remaining
    return total


def take(grants: Sequence[Grant], quantity: int, kind: EntryKind, cause: Cause) -> list[Part]:
    """Consume or reserve units, beginning with the first grant; the caller has checked that they suffice."""
    parts = []
    for grant in grants:
        if not grant.is_drawable:
            continue
        part = quantity if grant.quantity is None else min(quantity, grant.remaining)
        move(grant, kind, part, cause)
        parts.append(Part(grant, part))
        quantity -= part
        if quantity == 0:
            break
    return parts


def move(grant: Grant, kind: EntryKind, quantity: int, cause: Cause | None) -> None:
    """Change the state of units of a grant and of its balance, and record a ledger entry."""
    balance = grant.balance
    grant.is_changed = balance.is_changed = True
    balance.entries.append(Entry(grant, kind, quantity, cause))
    back = quantity if kind in ("released", "freed", "refunded") else 0
    out = quantity if kind in ("consumed", "reserved", "expired", "revoked") else 0
    if grant.quantity is None:
        balance.beyond += out - back
    else:
        grant.remaining += back - out
        balance.remaining += back - out
    used = _CONSUMED_SIGN.get(kind, 0) * quantity
    held = _RESERVED_SIGN.get(kind, 0) * quantity
    grant.consumed += used
    balance.consumed += used
    grant.reserved += held
    balance.reserved += held
    if kind in ("expired", "revoked"):
        grant.expired += quantity
        balance.expired += quantity


_CONSUMED_SIGN: dict[EntryKind, int] = {"consumed": 1, "committed": 1, "freed": -1, "refunded": -1}
_RESERVED_SIGN: dict[EntryKind, int] = {"reserved": 1, "committed": -1, "released": -1}


def end(
    grant: Grant, kind: EntryKind = "expired", cause: Cause | None = None, *, lowering: int | None = None
) -> None:
    """End a grant and expire its remaining units; units given back to it later expire at once.

    The ceiling of a limit falls by the grant's quantity, or by `lowering` if given.
    """
    balance = grant.balance
    grant.has_ended = grant.is_changed = balance.is_changed = True
    grant.is_revoked = grant.is_revoked or kind == "revoked"
    expiring = grant.remaining
    if grant.is_overage:
        return
    if grant.quantity is None:
        balance.unlimited -= 1
        balance.has_lost_unlimited = True
        if balance.kind == "limit":
            _count_units_in_use(grant, cause)
    elif expiring:
        move(grant, kind, expiring, cause)
    if balance.kind == "limit":
        balance.excess += ((grant.quantity or 0) if lowering is None else lowering) - expiring
        reduce_excess(balance, cause)


def expire_at(grant: Grant, moment: datetime | None) -> None:
    """Let a grant expire at another time; None: never."""
    if grant.expires_at != moment:
        grant.expires_at = moment
        grant.is_moved = grant.is_changed = grant.balance.is_changed = True


def end_grants(grants: Iterable[Grant]) -> None:
    """End grants without lowering the ceilings of limits, which is left to the caller."""
    for grant in grants:
        if not grant.has_ended or grant.remaining:
            end(grant, lowering=grant.remaining)


def _count_units_in_use(grant: Grant, cause: Cause | None) -> None:
    """Give an ended unlimited grant of a limit the quantity in use, so that those units can be released."""
    grant.quantity = grant.consumed + grant.reserved
    if grant.quantity:
        grant.balance.granted += grant.quantity
        grant.balance.beyond -= grant.quantity
        grant.balance.entries.append(Entry(grant, "granted", grant.quantity, cause))


def reduce_excess(balance: Balance, cause: Cause | None = None) -> None:
    """Expire remaining units of a limit against its excess."""
    for grant in balance.grants:
        expiring = min(balance.excess, grant.remaining)
        if expiring:
            balance.excess -= expiring
            move(grant, "expired", expiring, cause)


def add_grant(balance: Balance, new: NewGrant, at: datetime) -> Grant:
    """Add a grant to a balance."""
    units = new.quantity or 0
    grant = Grant(
        balance,
        new.grant_id,
        new.quantity,
        consumed=0,
        reserved=0,
        expired=0,
        remaining=units,
        expires_at=new.expires_at,
        priority=new.priority,
        created_at=at,
        version=1,
        has_ended=False,
        is_revoked=False,
        new=new,
    )
    balance.grants.append(grant)
    balance.grants.sort(key=_order)
    balance.is_changed = True
    if grant.is_overage:
        return grant
    balance.granted += units
    balance.remaining += units
    balance.unlimited += new.quantity is None
    balance.last_granted = units
    if units:
        balance.entries.append(Entry(grant, "granted", units, None))
    return grant


def newest_first(grant: Grant) -> tuple[float, str]:
    """Return the sort key of expiring units of which fewer are given: the newest grant comes first."""
    return (-grant.created_at.timestamp(), grant.grant_id)


def expire_units(grants: Iterable[Grant], quantity: int) -> None:
    """Expire unused units of a lowered limit, beginning with the first of these grants."""
    for grant in grants:
        part = min(quantity, grant.remaining)
        if part:
            move(grant, "expired", part, None)
            quantity -= part


def give_back(grant: Grant, kind: EntryKind, quantity: int, cause: Cause | None) -> int:
    """Give back reserved or consumed units, and expire them at once if their grant has ended.

    Units of a limit first reduce the excess above its ceiling. The others stay below the ceiling, even if
    their grant has ended. Returns how many units expired.
    """
    move(grant, kind, quantity, cause)
    if grant.quantity is None:
        return 0
    balance = grant.balance
    expiring = (
        min(quantity, balance.excess) if balance.kind == "limit" else quantity if grant.has_ended else 0
    )
    if expiring:
        balance.excess -= min(expiring, balance.excess)
        move(grant, "expired", expiring, cause)
    return expiring
