"""Writing of the balances that a transaction changed, with their grants, ledger entries and events."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson

from services.consumables.domain.balance import Balance, Grant
from services.consumables.ledger.event_encoding import EventEncoder
from services.consumables.ledger.repository import LedgerBatch
from services.consumables.ledger.usage_alerts import check_alerts
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import GrantSnapshot

WRITE = Statement("""
    WITH changed AS (SELECT $1::jsonb AS what),
    balances AS (
        UPDATE consumables.balances AS old
        SET version = new.version, granted = new.granted, beyond = new.beyond, consumed = new.consumed,
            reserved = new.reserved, expired = new.expired, remaining = new.remaining,
            unlimited = new.unlimited, excess = new.excess,
            last_granted = new.last_granted, alert_at = new.alert_at
        FROM changed, jsonb_to_recordset(what -> 'balances') AS new
            (account text, feature text, version bigint, granted bigint, beyond bigint, consumed bigint,
             reserved bigint, expired bigint, remaining bigint, unlimited bigint, excess bigint,
             last_granted bigint, alert_at bigint)
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
        SELECT i, a, f, g, k, q, c, coalesce(b, $3), r, m, coalesce(o, $2)
        FROM changed, jsonb_to_recordset(what -> 'entries') AS new
            (i text, a text, f text, g text, k text, q bigint, c text, b text, r text, m jsonb, o timestamptz)
    )
    INSERT INTO consumables.usage_days (customer, feature, day, consumer, account, quantity, overage)
    SELECT customer, feature,
           date_trunc('day', coalesce(used_at, $2::timestamptz) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
           consumer, account, quantity, coalesce(overage, 0)
    FROM changed, jsonb_to_recordset(what -> 'usage') AS new
        (customer text, feature text, consumer text, account text, quantity bigint, overage bigint,
         used_at timestamptz)
    ORDER BY account, feature, consumer, used_at
    ON CONFLICT (customer, feature, day, consumer, account)
    DO UPDATE SET quantity = usage_days.quantity + excluded.quantity,
                  overage = usage_days.overage + excluded.overage
""")
ADD_GRANTS = Statement("""
    INSERT INTO consumables.grants
        (grant_id, account, feature, key, quantity, consumed, reserved, expired, remaining, expires_at,
         priority, source, created_at, version, open, ended_at)
    SELECT grant_id, account, feature, key, quantity, consumed, reserved, expired, remaining, expires_at,
           priority, source, $2, version, open, CASE WHEN ended THEN $2::timestamptz END
    FROM jsonb_to_recordset($1::jsonb) AS new
        (grant_id text, account text, feature text, key text, quantity bigint, consumed bigint,
         reserved bigint, expired bigint, remaining bigint, expires_at timestamptz, priority int,
         source jsonb, version bigint, open boolean, ended boolean)
""")
MOVE_GRANTS = Statement("""
    UPDATE consumables.grants AS old SET expires_at = new.expires_at
    FROM jsonb_to_recordset($1::jsonb) AS new (grant_id text, expires_at timestamptz)
    WHERE old.grant_id = new.grant_id
""")
CLOSE_OVERDUE = """
    UPDATE consumables.reservations SET status = 'expired', closed_at = %s
    WHERE reservation_id = ANY(%s)
"""


async def write(
    work: UnitOfWork, batch: LedgerBatch, *, revoked: GrantSnapshot | None = None, emit_levels: bool = True
) -> None:
    """Write all changed balances and add their events to the outbox.

    `revoked`: the snapshot of a revoked grant, which has an event even if no units of it were left. Without
    `emit_levels` no `low` and `exhausted` events are emitted.
    """
    if batch.overdue:
        await work.driver.execute(CLOSE_OVERDUE, (work.now, batch.overdue))
    changed = [balance for balance in batch.balances.values() if balance.is_changed]
    if changed:
        if any(balance.alert_at is not None for balance in changed):
            await check_alerts(work, changed)
        _encode(batch.encoder, changed, revoked, emit_levels=emit_levels)
        work.deferred.extend(_statements(work, changed, batch.encoder.entries))


def _encode(
    encoder: EventEncoder, changed: Sequence[Balance], revoked: GrantSnapshot | None, *, emit_levels: bool
) -> None:
    grant = revoked.model_dump_json() if revoked is not None else None
    for balance in changed:
        encoder.emit_pending(balance, revoked=grant)
        if emit_levels:
            encoder.emit_levels(balance)
        for percent in balance.crossed:
            encoder.emit(balance, "thresholdReached", (), percent=percent)
        encoder.put(balance)


def _statements(
    work: UnitOfWork, changed: Sequence[Balance], entries: Sequence[dict[str, Any]]
) -> list[BoundStatement]:
    grants = [grant for balance in changed for grant in balance.grants]
    changes = {
        "balances": [_balance_row(balance) for balance in changed],
        "grants": [_grant_row(grant) for grant in grants if grant.is_changed and grant.new is None],
        "entries": entries,
        "usage": [
            {"customer": balance.customer, "feature": balance.feature, "account": balance.account, **used}
            for balance in changed
            for used in _usage(balance, work.now)
        ],
    }
    statements = [WRITE(orjson.dumps(changes).decode(), work.now, work.caused_by)]
    if added := [_new_grant_row(grant) for grant in grants if grant.new is not None]:
        statements.insert(0, ADD_GRANTS(orjson.dumps(added).decode(), work.now))
    if moved := [_move_row(grant) for grant in grants if grant.is_moved and grant.new is None]:
        statements.append(MOVE_GRANTS(orjson.dumps(moved).decode()))
    return statements


def _balance_row(balance: Balance) -> dict[str, Any]:
    return {
        "account": balance.account,
        "feature": balance.feature,
        "version": balance.version,
        "granted": balance.granted,
        "beyond": balance.beyond,
        "consumed": balance.consumed,
        "reserved": balance.reserved,
        "expired": balance.expired,
        "remaining": balance.remaining,
        "unlimited": balance.unlimited,
        "excess": balance.excess,
        "last_granted": balance.last_granted,
        "alert_at": balance.alert_at,
    }


def _grant_row(grant: Grant) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "quantity": grant.quantity,
        "consumed": grant.consumed,
        "reserved": grant.reserved,
        "expired": grant.expired,
        "remaining": grant.remaining,
        "open": grant.is_open,
        "ended": grant.has_ended,
        "revoked": grant.is_revoked,
    }


def _move_row(grant: Grant) -> dict[str, Any]:
    return {"grant_id": grant.grant_id, "expires_at": grant.expires_at}


def _new_grant_row(grant: Grant) -> dict[str, Any]:
    assert grant.new is not None
    return _grant_row(grant) | {
        "account": grant.balance.account,
        "feature": grant.balance.feature,
        "key": grant.new.key,
        "expires_at": grant.expires_at,
        "priority": grant.priority,
        "source": grant.new.source,
        "version": grant.version + grant.is_changed,
    }


def _usage(balance: Balance, now: datetime) -> list[dict[str, Any]]:
    """Sum what was used by consumer and day; `used_at` only for another day than today's."""
    used: dict[tuple[str, date], int] = {}
    beyond: dict[tuple[str, date], int] = {}
    for entry in balance.entries:
        if entry.kind in ("consumed", "committed") and entry.cause is not None and entry.cause.consumer:
            at = entry.cause.occurred_at or now
            key = (entry.cause.consumer, at.astimezone(UTC).date())
            used[key] = used.get(key, 0) + entry.quantity
            if entry.grant.is_overage:
                beyond[key] = beyond.get(key, 0) + entry.quantity
    today = now.astimezone(UTC).date()
    return [
        {"consumer": consumer, "quantity": quantity}
        | ({"overage": beyond[consumer, day]} if (consumer, day) in beyond else {})
        | ({} if day == today else {"used_at": f"{day.isoformat()}T00:00:00Z"})
        for (consumer, day), quantity in used.items()
    ]
