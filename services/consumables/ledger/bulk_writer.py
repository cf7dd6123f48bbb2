"""Granting and ending units of very many accounts in one transaction: balances, grants, ledger and events.

Everything is decided in memory on locked balances and written by a few statements, however many there are:
events are written as JSON here instead of through their models, and rows are copied instead of inserted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from services.consumables.ledger.event_encoding import EventEncoder, Moved
from services.consumables.ledger.locked_balances import (
    Standing,
    lock_standings,
    open_standings,
    write_standings,
)
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork

COPY_GRANTS = """
    COPY consumables.grants
        (grant_id, account, feature, key, quantity, remaining, expires_at, priority, source, created_at)
    FROM STDIN
"""
COPY_ENTRIES = """
    COPY consumables.entries
        (entry_id, account, feature, grant_id, kind, quantity, caused_by, occurred_at)
    FROM STDIN
"""
SELECT_GRANTS = """
    SELECT grant_id, account, feature, quantity, consumed + reserved, remaining, expired, revoked,
           ended_at IS NOT NULL
    FROM consumables.grants WHERE grant_id = ANY(%s)
"""
END_GRANTS = """
    UPDATE consumables.grants
    SET expired = expired + remaining, remaining = 0, open = false, ended_at = coalesce(ended_at, %(at)s),
        quantity = CASE WHEN grant_id = ANY(%(counted)s) THEN consumed + reserved ELSE quantity END,
        version = version + 1
    WHERE grant_id = ANY(%(ended)s)
"""
"""What is in use of unlimited places is counted when these end."""
LAPSE_GRANTS = """
    UPDATE consumables.grants AS old
    SET expired = expired + part.quantity, remaining = remaining - part.quantity,
        open = remaining > part.quantity OR ended_at IS NULL AND expires_at IS NOT NULL,
        version = version + 1
    FROM unnest(%s::text[], %s::bigint[]) AS part (grant_id, quantity)
    WHERE old.grant_id = part.grant_id
"""


class Account(NamedTuple):
    """An account and a feature, and what is needed to open its balance."""

    account: str
    feature: str
    kind: str
    customer: str
    """The token of who pays."""


class Held(NamedTuple):
    """A grant as it stands, its balance being locked."""

    grant_id: str
    account: str
    feature: str
    quantity: int | None
    in_use: int
    """Consumed or reserved."""
    remaining: int
    expired: int
    revoked: bool
    has_ended: bool

    @property
    def left(self) -> int:
        """What was not used of it, whether or not its time has been found to be over."""
        return self.remaining + (0 if self.revoked else self.expired)


class Given(NamedTuple):
    """Units to be given."""

    quantity: int | None
    expires_at: datetime | None
    priority: int
    source: dict[str, Any]
    key: str | None


@dataclass(slots=True)
class Books:
    """The balances that one transaction changes, locked, and what is to be written of them."""

    work: UnitOfWork
    standings: dict[tuple[str, str], Standing]
    _teller: EventEncoder
    ended: list[str] = field(default_factory=list)
    """The grants that were ended so far."""
    _grants: list[tuple[Any, ...]] = field(default_factory=list)
    _entries: list[tuple[Any, ...]] = field(default_factory=list)
    _counted: list[str] = field(default_factory=list)
    _lapsed: list[tuple[str, int]] = field(default_factory=list)
    _changed: dict[tuple[str, str], Standing] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def open(cls, work: UnitOfWork, accounts: Iterable[Account]) -> "Books":
        """Lock the balances of these accounts, in their order; those that there are not are made."""
        return cls(work, await open_standings(work, accounts), EventEncoder(work))

    @classmethod
    async def of(cls, work: UnitOfWork, keys: Iterable[tuple[str, str]]) -> "Books":
        """Lock those balances that there are of these accounts and features."""
        return cls(work, await lock_standings(work, keys), EventEncoder(work))

    async def held(self, grant_ids: Sequence[str]) -> dict[str, Held]:
        """Grants by their id."""
        if not grant_ids:
            return {}
        cursor = await self.work.driver.execute(SELECT_GRANTS, (list(grant_ids),))
        return {row[0]: Held._make(row) for row in await cursor.fetchall()}

    def end(self, grants: Iterable[Held]) -> None:
        """End grants of one balance: what is left of them lapses, and what comes back to them later."""
        lapsed = []
        standing = None
        has_changed = False
        for grant in grants:
            if grant.has_ended and not grant.remaining:
                continue
            standing = self._standing(grant.account, grant.feature)
            self.ended.append(grant.grant_id)
            has_changed = has_changed or grant.quantity is None or grant.remaining > 0
            if grant.quantity is None:
                standing.unlimited -= 1
                if standing.kind == "limit" and grant.in_use:
                    lapsed.append(self._count(standing, grant))
            if grant.remaining:
                standing.remaining -= grant.remaining
                standing.expired += grant.remaining
                lapsed.append(self._enter(standing, "expired", grant.grant_id, grant.remaining))
        if standing is not None and has_changed:
            self._teller.emit(standing, "expired", lapsed)

    def lapse(self, grants: Iterable[Held], quantity: int) -> None:
        """Have so many of the units lapse that remain in grants of one balance, from the first on."""
        lapsed = []
        standing = None
        for grant in grants:
            part = min(quantity, grant.remaining)
            if part == 0:
                continue
            standing = self._standing(grant.account, grant.feature)
            standing.remaining -= part
            standing.expired += part
            quantity -= part
            self._lapsed.append((grant.grant_id, part))
            lapsed.append(self._enter(standing, "expired", grant.grant_id, part))
        if standing is not None:
            self._teller.emit(standing, "expired", lapsed)

    def give(self, account: str, feature: str, gifts: Iterable[Given]) -> list[str]:
        """Grant units to one balance, told in one event; the ids of the grants."""
        standing = self._standing(account, feature)
        made, moved = [], []
        for given in gifts:
            grant_id = new_id("grant")
            source = self._source(given.source)
            self._grants.append(
                (
                    grant_id,
                    account,
                    feature,
                    given.key,
                    given.quantity,
                    given.quantity or 0,
                    given.expires_at,
                    given.priority,
                    source,
                    self.work.now,
                )
            )
            standing.granted += given.quantity or 0
            standing.remaining += given.quantity or 0
            standing.unlimited += given.quantity is None
            standing.last_granted = given.quantity or 0
            made.append((grant_id, given, source))
            if given.quantity:
                moved.append(self._enter(standing, "granted", grant_id, given.quantity))
        if made:
            self._teller.emit_granted(standing, moved, *made[-1])
        return [grant_id for grant_id, _, _ in made]

    def set_excess(self, account: str, feature: str, excess: int) -> None:
        """Say how much of a limit is in use above its ceiling."""
        self._standing(account, feature).excess = excess

    async def close(self, *, is_last: bool = True) -> list[Standing]:
        """Write all of it; the balances that changed.

        Whoever goes on to change them in the same transaction, so that this is not the last, puts them into
        the bucket.
        """
        driver = self.work.driver
        if self.ended:
            values = {"ended": self.ended, "counted": self._counted, "at": self.work.now}
            await driver.execute(END_GRANTS, values)
        if self._lapsed:
            await driver.execute(LAPSE_GRANTS, [list(column) for column in zip(*self._lapsed, strict=True)])
        async with driver.cursor() as cursor:
            for statement, rows in ((COPY_GRANTS, self._grants), (COPY_ENTRIES, self._entries)):
                if rows:
                    async with cursor.copy(statement) as copy:
                        for row in rows:
                            await copy.write_row(row)
        changed = list(self._changed.values())
        await write_standings(self.work, changed)
        if is_last:
            self._teller.put(changed)
        await self._teller.write()
        return changed

    def _standing(self, account: str, feature: str) -> Standing:
        standing = self.standings[account, feature]
        self._changed[account, feature] = standing
        return standing

    def _count(self, standing: Standing, grant: Held) -> Moved:
        """Let an unlimited grant of a limit have had just what is in use, so that it can become free."""
        self._counted.append(grant.grant_id)
        standing.granted += grant.in_use
        standing.beyond -= grant.in_use
        return self._enter(standing, "granted", grant.grant_id, grant.in_use)

    def _enter(self, standing: Standing, kind: str, grant_id: str, quantity: int) -> Moved:
        entry_id = new_id("entry")
        at = self.work.now
        self._entries.append(
            (
                entry_id,
                standing.account,
                standing.feature,
                grant_id,
                kind,
                quantity,
                self.work.caused_by,
                at,
            )
        )
        return Moved(entry_id, kind, grant_id, quantity)

    def _source(self, source: dict[str, Any]) -> str:
        # The same for all seats of a team: written as JSON once.
        known = str(source)
        if known not in self._sources:
            self._sources[known] = orjson.dumps(source).decode()
        return self._sources[known]
