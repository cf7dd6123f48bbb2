"""Balances and their grants in memory, and how units move between their places.

A unit is always in one place: remaining, reserved, consumed, or expired. A move takes units from one place to
another, of a grant and of its balance alike, and is remembered as an entry of the ledger.

Of a limit, remaining and excess say where its ceiling is: remaining - excess = ceiling - what is in use, not
counting what is in use of unlimited grants that have not ended. Whatever happens keeps that true.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from tallystick.messages.consumables import EntryKind

NEVER = datetime.max.replace(tzinfo=UTC)


class Why(NamedTuple):
    """Why units moved: a command, and what it said."""

    command_id: str
    consumer: str | None = None
    """The token of who used or reserved them."""
    reservation_id: str | None = None
    metadata: Mapping[str, str] | None = None


class Move(NamedTuple):
    """Units that moved: what the ledger keeps."""

    stock: "Stock"
    kind: EntryKind
    quantity: int
    why: Why | None
    """None: they lapsed by themselves."""


class Part(NamedTuple):
    """Units of one grant, taken for somebody or set aside."""

    stock: "Stock"
    quantity: int


@dataclass(slots=True, eq=False)
class Stock:
    """A grant and where its units are."""

    pool: "Pool"
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

    @property
    def order(self) -> tuple[datetime, int, datetime, str]:
        """Soonest to expire, then lowest priority, then oldest."""
        return (self.expires_at or NEVER, self.priority, self.created_at, self.grant_id)

    @property
    def is_drawable(self) -> bool:
        """Whether anything can be drawn from it; of a limit's that has ended, what was released since."""
        return self.remaining > 0 or (self.quantity is None and not self.has_ended)

    @property
    def is_open(self) -> bool:
        """Whether it has a part in what is to come: it can be drawn on, or its end will lower a ceiling."""
        return self.is_drawable or (
            self.expires_at is not None and not self.has_ended and self.pool.kind == "limit"
        )


@dataclass(slots=True, eq=False)
class Pool:
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
    stocks: list[Stock] = field(default_factory=list)
    """In the order they are drawn on."""
    moves: list[Move] = field(default_factory=list)
    is_changed: bool = False
    has_lost_unlimited: bool = False
    remaining_before: int = 0
    was_unlimited: bool = False

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return f"{self.account.replace(':', '_', 1)}.{self.feature}"

    def open_up(self, stocks: Iterable[Stock], now: datetime) -> None:
        """Take its grants over; what has lapsed by the clock ends before anybody can draw on it."""
        self.remaining_before, self.was_unlimited = self.remaining, self.unlimited > 0
        self.stocks = sorted(stocks, key=_order)
        for stock in self.stocks:
            if not stock.has_ended and stock.expires_at is not None and stock.expires_at <= now:
                end(stock)

    @property
    def level(self) -> int:
        """Less than this remaining is low: the auto-recharge's threshold, or just above a fifth."""
        return self.threshold if self.threshold is not None else self.last_granted // 5 + 1


def _order(stock: Stock) -> tuple[datetime, int, datetime, str]:
    return stock.order


def burn_order(pools: Sequence[Pool]) -> list[Stock]:
    """The grants of several balances, in the order in which they are drawn on."""
    if len(pools) == 1:
        return pools[0].stocks
    return sorted((stock for pool in pools for stock in pool.stocks), key=_order)


def available(pools: Iterable[Pool]) -> int | None:
    """How many units can be drawn in all; None: any number."""
    total = 0
    for pool in pools:
        if pool.unlimited:
            return None
        total += pool.remaining
    return total


def take(stocks: Sequence[Stock], quantity: int, kind: EntryKind, why: Why) -> list[Part]:
    """Consume or reserve units from the first grants on; the caller knows that there are enough."""
    parts = []
    for stock in stocks:
        if not stock.is_drawable:
            continue
        part = quantity if stock.quantity is None else min(quantity, stock.remaining)
        move(stock, kind, part, why)
        parts.append(Part(stock, part))
        quantity -= part
        if quantity == 0:
            break
    return parts


def move(stock: Stock, kind: EntryKind, quantity: int, why: Why | None) -> None:
    """Move units of a grant, and of its balance, from one place to another."""
    pool = stock.pool
    stock.is_changed = pool.is_changed = True
    pool.moves.append(Move(stock, kind, quantity, why))
    back = quantity if kind in ("released", "freed", "refunded") else 0
    out = quantity if kind in ("consumed", "reserved", "expired", "revoked") else 0
    if stock.quantity is None:
        pool.beyond += out - back
    else:
        stock.remaining += back - out
        pool.remaining += back - out
    used = _USED.get(kind, 0) * quantity
    held = _HELD.get(kind, 0) * quantity
    stock.consumed += used
    pool.consumed += used
    stock.reserved += held
    pool.reserved += held
    if kind in ("expired", "revoked"):
        stock.expired += quantity
        pool.expired += quantity


_USED: dict[EntryKind, int] = {"consumed": 1, "committed": 1, "freed": -1, "refunded": -1}
_HELD: dict[EntryKind, int] = {"reserved": 1, "committed": -1, "released": -1}


def end(
    stock: Stock, kind: EntryKind = "expired", why: Why | None = None, *, lowering: int | None = None
) -> None:
    """End a grant: what remains of it lapses, and so will whatever comes back to it.

    A limit's ceiling falls with it: by its quantity, or by `lowering`.
    """
    pool = stock.pool
    stock.has_ended = stock.is_changed = pool.is_changed = True
    stock.is_revoked = stock.is_revoked or kind == "revoked"
    lapsing = stock.remaining
    if stock.quantity is None:
        pool.unlimited -= 1
        pool.has_lost_unlimited = True
        if pool.kind == "limit":
            _count_what_is_in_use(stock, why)
    elif lapsing:
        move(stock, kind, lapsing, why)
    if pool.kind == "limit":
        pool.excess += ((stock.quantity or 0) if lowering is None else lowering) - lapsing
        absorb(pool, why)


def _count_what_is_in_use(stock: Stock, why: Why | None) -> None:
    """Let an unlimited grant of a limit have had just what is in use, so that it can become free."""
    stock.quantity = stock.consumed + stock.reserved
    if stock.quantity:
        stock.pool.granted += stock.quantity
        stock.pool.beyond -= stock.quantity
        stock.pool.moves.append(Move(stock, "granted", stock.quantity, why))


def absorb(pool: Pool, why: Why | None = None) -> None:
    """Let what remains of a limit go into what is in use above its ceiling."""
    for stock in pool.stocks:
        lapsing = min(pool.excess, stock.remaining)
        if lapsing:
            pool.excess -= lapsing
            move(stock, "expired", lapsing, why)


def give_back(stock: Stock, kind: EntryKind, quantity: int, why: Why | None) -> None:
    """Put units back that were reserved or consumed; they lapse at once where the grant has ended.

    Of a limit they go into what is in use above its ceiling first. What is more than that has room below it,
    whether or not the grant they came from has ended.
    """
    move(stock, kind, quantity, why)
    if stock.quantity is None:
        return
    pool = stock.pool
    lapsing = min(quantity, pool.excess) if pool.kind == "limit" else quantity if stock.has_ended else 0
    if lapsing:
        pool.excess -= min(lapsing, pool.excess)
        move(stock, "expired", lapsing, why)
