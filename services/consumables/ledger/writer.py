"""What commands did to balances, written: one statement for all of it, and the messages that tell of it."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.consumables.domain.balance import Move, Pool, Stock
from services.consumables.ledger.event_encoding import balance_json, customer_parts, rfc3339
from services.consumables.ledger.repository import Loaded
from services.consumables.recharges.purchase import units_are_low
from shared.ids import new_id
from shared.persistence.outbox import OutboxMessage
from shared.persistence.sql_pipeline import Bound, Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import EntryKind, GrantSnapshot
from tallystick.subjects import BALANCES_BUCKET, CHANGE_FEED_STREAM, kv_subject

WRITE = Statement("""
    WITH changed AS (SELECT $1::jsonb AS what),
    balances AS (
        UPDATE consumables.balances AS old
        SET version = new.version, granted = new.granted, beyond = new.beyond, consumed = new.consumed,
            reserved = new.reserved, expired = new.expired, remaining = new.remaining,
            unlimited = new.unlimited, excess = new.excess
        FROM changed, jsonb_to_recordset(what -> 'balances') AS new
            (account text, feature text, version bigint, granted bigint, beyond bigint, consumed bigint,
             reserved bigint, expired bigint, remaining bigint, unlimited bigint, excess bigint)
        WHERE old.account = new.account AND old.feature = new.feature
    ), grants AS (
        UPDATE consumables.grants AS old
        SET version = old.version + 1, quantity = new.quantity, consumed = new.consumed,
            reserved = new.reserved, expired = new.expired, remaining = new.remaining, open = new.open,
            ended_at = CASE WHEN new.ended THEN coalesce(old.ended_at, $2) END,
            revoked = new.revoked
        FROM changed, jsonb_to_recordset(what -> 'grants') AS new
            (grant_id text, quantity bigint, consumed bigint, reserved bigint, expired bigint,
             remaining bigint, open boolean, ended boolean, revoked boolean)
        WHERE old.grant_id = new.grant_id
    ), entries AS (
        INSERT INTO consumables.entries (entry_id, account, feature, grant_id, kind, quantity, consumer,
                                         caused_by, reservation_id, metadata, occurred_at)
        SELECT i, a, f, g, k, q, c, coalesce(b, $3), r, m, $2
        FROM changed, jsonb_to_recordset(what -> 'entries') AS new
            (i text, a text, f text, g text, k text, q bigint, c text, b text, r text, m jsonb)
    )
    INSERT INTO consumables.usage_days (customer, feature, day, consumer, account, quantity)
    SELECT customer, feature, date_trunc('day', $2::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
           consumer, account, quantity
    FROM changed, jsonb_to_recordset(what -> 'usage') AS new
        (customer text, feature text, consumer text, account text, quantity bigint)
    ORDER BY account, feature, consumer
    ON CONFLICT (customer, feature, day, consumer, account)
    DO UPDATE SET quantity = usage_days.quantity + excluded.quantity
""")
_EVENTS: dict[EntryKind, str] = {
    # What was in use of unlimited places, counted when these end.
    "granted": "expired",
    "consumed": "consumed",
    "committed": "consumed",
    "reserved": "reserved",
    "released": "released",
    "freed": "released",
    "refunded": "refunded",
    "expired": "expired",
    "revoked": "revoked",
}
"""Which event tells of an entry."""
_ORDER = ("expired", "revoked", "refunded", "released", "reserved", "consumed")
"""In which order one commit's events of a balance are told."""


CLOSE_OVERDUE = """
    UPDATE consumables.reservations SET status = 'expired', closed_at = %s
    WHERE reservation_id = ANY(%s)
"""


async def write(work: UnitOfWork, loaded: Loaded, *, revoked: GrantSnapshot | None = None) -> None:
    """Write all that changed, put what tells of it into the outbox, and buy more where it is low.

    `revoked`: the grant that was taken back, which is told whether or not any of it was left.
    """
    touched = loaded.pools.values()
    if loaded.lapsed:
        await work.driver.execute(CLOSE_OVERDUE, (work.now, loaded.lapsed))
    changed = [pool for pool in touched if pool.is_changed]
    if changed:
        work.last.append(_writing(work, changed, revoked))
    low = [
        (pool.account, pool.feature)
        for pool in touched
        if pool.threshold is not None and pool.remaining < pool.threshold
    ]
    if low:
        # It looks at the balances as they are now.
        await work.run(*work.last)
        work.last.clear()
        await units_are_low(work, low)


def _writing(work: UnitOfWork, changed: Sequence[Pool], revoked: GrantSnapshot | None) -> Bound:
    """The statement that writes all of it; puts what tells of it into the outbox."""
    told = _Told(work, revoked)
    for pool in changed:
        told.emit(pool)
    changes = {
        "balances": [_balance_row(pool) for pool in changed],
        "grants": [_grant_row(stock) for pool in changed for stock in pool.stocks if stock.is_changed],
        "entries": told.entries,
        "usage": [
            {"customer": pool.customer, "feature": pool.feature, "account": pool.account, **used}
            for pool in changed
            for used in _usage(pool)
        ],
    }
    return WRITE(orjson.dumps(changes).decode(), work.now, work.caused_by)


def _balance_row(pool: Pool) -> dict[str, Any]:
    return {
        "account": pool.account,
        "feature": pool.feature,
        "version": pool.version,
        "granted": pool.granted,
        "beyond": pool.beyond,
        "consumed": pool.consumed,
        "reserved": pool.reserved,
        "expired": pool.expired,
        "remaining": pool.remaining,
        "unlimited": pool.unlimited,
        "excess": pool.excess,
    }


def _grant_row(stock: Stock) -> dict[str, Any]:
    return {
        "grant_id": stock.grant_id,
        "quantity": stock.quantity,
        "consumed": stock.consumed,
        "reserved": stock.reserved,
        "expired": stock.expired,
        "remaining": stock.remaining,
        "open": stock.is_open,
        "ended": stock.has_ended,
        "revoked": stock.is_revoked,
    }


def _usage(pool: Pool) -> list[dict[str, Any]]:
    used: dict[str, int] = {}
    for moved in pool.moves:
        if moved.kind in ("consumed", "committed") and moved.why is not None and moved.why.consumer:
            used[moved.why.consumer] = used.get(moved.why.consumer, 0) + moved.quantity
    return [{"consumer": consumer, "quantity": quantity} for consumer, quantity in used.items()]


class _Told:
    """The entries of one transaction, as rows and as events tell them."""

    def __init__(self, work: UnitOfWork, revoked: GrantSnapshot | None) -> None:
        self.work = work
        self.revoked = revoked
        self.entries: list[dict[str, Any]] = []
        self._at = rfc3339(work.now)
        self._batch = new_id("entry")

    def emit(self, pool: Pool) -> None:
        """Enter what moved in one balance, and tell of it: an event of each kind, and one put."""
        by_event: dict[str, list[Move]] = {}
        for moved in pool.moves:
            by_event.setdefault(_EVENTS[moved.kind], []).append(moved)
        if self.revoked is not None:
            by_event.setdefault("revoked", [])
        elif pool.has_lost_unlimited:
            by_event.setdefault("expired", [])
        for name in _ORDER:
            if name in by_event:
                self._emit(pool, name, by_event[name])
        if not pool.unlimited and not pool.was_unlimited:
            if pool.remaining < pool.level <= pool.remaining_before:
                self._emit(pool, "low", ())
            if pool.remaining == 0 < pool.remaining_before:
                self._emit(pool, "exhausted", ())
        remaining = "null" if pool.unlimited else pool.remaining
        put = f'{{"remaining":{remaining},"version":{pool.version}}}'.encode()
        subject = kv_subject(BALANCES_BUCKET, pool.key)
        trace = self.work.trace(self._cause(pool.moves))
        self.work.outbox.append(OutboxMessage(f"KV_{BALANCES_BUCKET}", subject, put, trace))

    def _emit(self, pool: Pool, name: str, moves: Sequence[Move]) -> None:
        pool.version += 1
        event_id = new_id("evt")
        kind, identifier = customer_parts(pool.customer)
        entries = orjson.dumps([self._enter(pool, moved) for moved in moves]).decode()
        cause = self._cause(moves or pool.moves)
        grant = self.revoked.model_dump_json() if self.revoked and name == "revoked" else "null"
        body = (
            f'{{"event_id":"{event_id}","occurred_at":"{self._at}","version":{pool.version},'
            f'"caused_by":{orjson.dumps(cause).decode()},"customer":{{"type":"{kind}","id":"{identifier}"}},'
            f'"consumable":{balance_json(pool)},"entries":{entries},"grant":{grant}}}'
        )
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": "/billing/consumables",
            "ce-type": f"billing.consumable.{name}V1",
            "ce-time": self._at,
            "ce-subject": pool.customer,
            "content-type": "application/json",
            **self.work.trace(cause),
        }
        message = OutboxMessage(
            CHANGE_FEED_STREAM,
            self.work.subjects.event("consumable", pool.customer, name),
            body.encode(),
            headers,
            event_id,
            "consumable",
            pool.key,
            pool.version,
            cause,
        )
        self.work.outbox.append(message)

    def _cause(self, moves: Sequence[Move]) -> str:
        """The first of the commands that moved these units."""
        return next((moved.why.command_id for moved in moves if moved.why is not None), self.work.caused_by)

    def _enter(self, pool: Pool, moved: Move) -> dict[str, Any]:
        """Enter units that moved; returns the entry as it is told."""
        why = moved.why
        entry_id = f"{self._batch}{len(self.entries):05}"
        grant_id = moved.stock.grant_id
        row = {
            "i": entry_id,
            "a": pool.account,
            "f": pool.feature,
            "g": grant_id,
            "k": moved.kind,
            "q": moved.quantity,
        }
        consumer = None
        if why is not None:
            row |= {"b": why.command_id, "c": why.consumer, "r": why.reservation_id, "m": why.metadata}
            if why.consumer is not None:
                kind, identifier = customer_parts(why.consumer)
                consumer = {"type": kind, "id": identifier}
        self.entries.append(row)
        return {
            "entry_id": entry_id,
            "account": pool.account,
            "feature": pool.feature,
            "grant_id": grant_id,
            "kind": moved.kind,
            "quantity": moved.quantity,
            "consumer": consumer,
            "caused_by": why.command_id if why is not None else self.work.caused_by,
            "reservation_id": why.reservation_id if why is not None else None,
            "metadata": why.metadata if why is not None else None,
            "occurred_at": self._at,
        }
