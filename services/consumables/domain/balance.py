"""Balances and their grants in memory, and how units move between their places.

A unit is always in one place: remaining, reserved, consumed, or expired. `move` takes units from one place to
another, in the grant and in its balance alike, and records a ledger entry.

For a limit, remaining and excess say where its ceiling is: remaining - excess = ceiling - what is in use, not
counting what is in use of unlimited grants that have not ended. Every function here keeps that true.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tallystick.messages.consumables import EntryKind

NEVER = datetime.max.replace(tzinfo=UTC)


class Cause(NamedTuple):
    """The command that moved units, and what it said."""

    command_id: str
    consumer: str | None = None
    """The token of the customer who used or reserved them."""
    reservation_id: str | None = None
    metadata: Mapping[str, str] | None = None


class Entry(NamedTuple):
    """An entry of the ledger: units of a grant that moved."""

    grant: "Grant"
    kind: EntryKind
    quantity: int
    cause: Cause | None
    """None: they expired or were granted by the service itself."""


class Part(NamedTuple):
    """Units of one grant that were consumed or reserved."""

    grant: "Grant"
    quantity: int


class Drawn(NamedTuple):
    """Units that a command got, and how many its consumer may still draw."""

    parts: list[Part]
    quantity: int
    remaining: int | None


class Insufficient(NamedTuple):
    """There are not enough units; nothing was taken."""

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
    """What it is for: no two grants have the same."""


@dataclass(slots=True, eq=False)
class Grant:
    """A grant and where its units are."""

    balance: "Balance"
    grant_id: str
    quantity: int | None
    """None: unlimited, and then nothing of it remains or expires."""
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
    new: NewGrant | None = None
    """How it was made, while it is not in the database yet."""

    @property
    def order(self) -> tuple[datetime, int, datetime, str]:
        """Soonest to expire, then lowest priority, then oldest."""
        return (self.expires_at or NEVER, self.priority, self.created_at, self.grant_id)

    @property
    def in_use(self) -> int:
        """Units that are consumed or reserved."""
        return self.consumed + self.reserved

    @property
    def unused(self) -> int:
        """Units that were never used, whether or not they have expired since; none of a revoked grant."""
        return self.remaining + (0 if self.is_revoked else self.expired)

    @property
    def is_drawable(self) -> bool:
        """Whether anything can be drawn from it; of a limit's that has ended, what was released since."""
        return self.remaining > 0 or (self.quantity is None and not self.has_ended)

    @property
    def is_open(self) -> bool:
        """Whether it has a part in what is to come: it can be drawn on, or its end will lower a ceiling."""
        return self.is_drawable or (
            self.expires_at is not None and not self.has_ended and self.balance.kind == "limit"
        )


@dataclass(slots=True, eq=False)
class Balance:
    """What an account has of one feature, and the grants it can be drawn from."""

    account: str
    feature: str
    kind: str
    customer: str
    is_suspended: bool
    version: int
    granted: int
    beyond: int
    """Of what is consumed and reserved, how much came from unlimited grants."""
    consumed: int
    reserved: int
    expired: int
    remaining: int
    unlimited: int
    """How many unlimited grants are open."""
    excess: int
    """Of a lowered limit, how many units in use are above it."""
    last_granted: int
    threshold: int | None
    grants: list[Grant] = field(default_factory=list)
    """In the order they are drawn on."""
    entries: list[Entry] = field(default_factory=list)
    emitted: int = 0
    """How many of the entries are in an event already."""
    is_changed: bool = False
    has_lost_unlimited: bool = False
    remaining_before: int = 0
    was_unlimited: bool = False

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return f"{self.account.replace(':', '_', 1)}.{self.feature}"

    def open_up(self, grants: Iterable[Grant], now: datetime) -> None:
        """Take its grants over; what has lapsed by the clock ends before anybody can draw on it."""
        self.remaining_before, self.was_unlimited = self.remaining, self.unlimited > 0
        self.grants = sorted(grants, key=_order)
        for grant in self.grants:
            if not grant.has_ended and grant.expires_at is not None and grant.expires_at <= now:
                end(grant)

    @property
    def level(self) -> int:
        """Less than this remaining is low: the auto-recharge's threshold, or just above a fifth."""
        return self.threshold if self.threshold is not None else self.last_granted // 5 + 1


def _order(grant: Grant) -> tuple[datetime, int, datetime, str]:
    return grant.order


def burn_order(balances: Sequence[Balance]) -> list[Grant]:
    """The grants of several balances, in the order in which they are drawn on."""
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
    """Take units from grants, which are in the order to be drawn on: all or none, unless `partial`."""
    there = available(balances)
    if there is not None and there < quantity:
        if not partial or there == 0:
            return Insufficient(there)
        quantity = there
    parts = take(grants, quantity, kind, cause)
    return Drawn(parts, quantity, None if there is None else there - quantity)


def available(balances: Iterable[Balance]) -> int | None:
    """How many units can be drawn in all; None: any number."""
    total = 0
    for balance in balances:
        if balance.unlimited:
            return None
        total += balance.remaining
    return total


def take(grants: Sequence[Grant], quantity: int, kind: EntryKind, cause: Cause) -> list[Part]:
    """Consume or reserve units from the first grants on; the caller knows that there are enough."""
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
    """Move units of a grant, and of its balance, from one place to another."""
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
    used = _USED.get(kind, 0) * quantity
    held = _HELD.get(kind, 0) * quantity
    grant.consumed += used
    balance.consumed += used
    grant.reserved += held
    balance.reserved += held
    if kind in ("expired", "revoked"):
        grant.expired += quantity
        balance.expired += quantity


_USED: dict[EntryKind, int] = {"consumed": 1, "committed": 1, "freed": -1, "refunded": -1}
_HELD: dict[EntryKind, int] = {"reserved": 1, "committed": -1, "released": -1}


def end(
    grant: Grant, kind: EntryKind = "expired", cause: Cause | None = None, *, lowering: int | None = None
) -> None:
    """End a grant: what remains of it lapses, and so will whatever comes back to it.

    A limit's ceiling falls with it: by its quantity, or by `lowering`.
    """
    balance = grant.balance
    grant.has_ended = grant.is_changed = balance.is_changed = True
    grant.is_revoked = grant.is_revoked or kind == "revoked"
    lapsing = grant.remaining
    if grant.quantity is None:
        balance.unlimited -= 1
        balance.has_lost_unlimited = True
        if balance.kind == "limit":
            _count_what_is_in_use(grant, cause)
    elif lapsing:
        move(grant, kind, lapsing, cause)
    if balance.kind == "limit":
        balance.excess += ((grant.quantity or 0) if lowering is None else lowering) - lapsing
        absorb(balance, cause)


def close(grants: Iterable[Grant]) -> None:
    """End grants, and leave the ceiling that limits have without them to the caller."""
    for grant in grants:
        if not grant.has_ended or grant.remaining:
            end(grant, lowering=grant.remaining)


def _count_what_is_in_use(grant: Grant, cause: Cause | None) -> None:
    """Let an unlimited grant of a limit have had just what is in use, so that it can become free."""
    grant.quantity = grant.consumed + grant.reserved
    if grant.quantity:
        grant.balance.granted += grant.quantity
        grant.balance.beyond -= grant.quantity
        grant.balance.entries.append(Entry(grant, "granted", grant.quantity, cause))


def absorb(balance: Balance, cause: Cause | None = None) -> None:
    """Let what remains of a limit go into what is in use above its ceiling."""
    for grant in balance.grants:
        lapsing = min(balance.excess, grant.remaining)
        if lapsing:
            balance.excess -= lapsing
            move(grant, "expired", lapsing, cause)


def give(balance: Balance, new: NewGrant, at: datetime) -> Grant:
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
    balance.granted += units
    balance.remaining += units
    balance.unlimited += new.quantity is None
    balance.last_granted = units
    balance.is_changed = True
    if units:
        balance.entries.append(Entry(grant, "granted", units, None))
    return grant


def lapse(grants: Iterable[Grant], quantity: int) -> None:
    """Let units of a lowered limit expire that nobody uses, from the first of these grants on."""
    for grant in grants:
        part = min(quantity, grant.remaining)
        if part:
            move(grant, "expired", part, None)
            quantity -= part


def give_back(grant: Grant, kind: EntryKind, quantity: int, cause: Cause | None) -> None:
    """Put units back that were reserved or consumed; they lapse at once where the grant has ended.

    Of a limit they go into what is in use above its ceiling first. What is more than that has room below it,
    whether or not the grant they came from has ended.
    """
    move(grant, kind, quantity, cause)
    if grant.quantity is None:
        return
    balance = grant.balance
    lapsing = min(quantity, balance.excess) if balance.kind == "limit" else quantity if grant.has_ended else 0
    if lapsing:
        balance.excess -= min(lapsing, balance.excess)
        move(grant, "expired", lapsing, cause)
