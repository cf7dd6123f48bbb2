"""Queries of balances and the ledger, with grants and reservations expired by the time of the query."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.consumables.domain.balance import Balance, Grant, burn_order
from services.consumables.ledger.event_encoding import EventEncoder
from services.consumables.ledger.grant_totals import grant_totals
from services.consumables.ledger.rejections import no_account
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load
from services.consumables.ledger.snapshots import balance_snapshot, grant_snapshot
from services.consumables.service import service
from shared.errors import Rejected
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer, Money

SELECT_SOURCES = """
    SELECT grant_id, source FROM consumables.grants
    WHERE grant_id = ANY (ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))
"""
FIND_ACCOUNT = "SELECT 1 FROM consumables.accounts WHERE account = %s"
LIST_KEYS = """
    SELECT account, feature FROM consumables.balances
    WHERE (account, feature) > (%(account)s, %(feature)s) AND {whose}
    ORDER BY account, feature LIMIT %(limit)s
"""
OF_ACCOUNT = "account = %(whose)s"
OF_CONSUMER = """
    account IN (SELECT 'customer:' || %(whose)s UNION ALL
                SELECT account FROM consumables.access WHERE consumer = %(whose)s)
"""
LIST_ENTRIES = """
    SELECT entry_id, account, feature, grant_id, kind, quantity, consumer, caused_by, reservation_id,
           metadata, occurred_at
    FROM consumables.entries
    WHERE account = %(account)s AND (%(feature)s::text IS NULL OR feature = %(feature)s)
      AND occurred_at >= %(since)s AND occurred_at < %(until)s
      AND (occurred_at, entry_id) < (%(before)s, %(before_id)s)
    ORDER BY occurred_at DESC, entry_id DESC LIMIT %(limit)s
"""
SELECT_OWED = """
    SELECT sum(consumed - charged)::bigint,
           sum((consumed - charged) * unit_amount)::bigint AS amount, currency
    FROM unnest(%s::text[], %s::text[]) AS key (account, feature)
    JOIN consumables.overages AS owed USING (account, feature) JOIN consumables.grants USING (grant_id)
    WHERE closed_at IS NULL GROUP BY currency ORDER BY amount DESC LIMIT 1
"""
MIN_TIME, MAX_TIME = "-infinity", "infinity"


@service.question(m.GetBalance)
async def get_balance(work: UnitOfWork, question: m.GetBalance) -> m.Balance:
    """Return the balance of an account, or the sum of all balances that a consumer may draw on.

    Raises Rejected `no_account`.
    """
    if question.account is not None:
        batch = await load(work, named=[(question.account, question.feature)], lock=False)
        balances = list(batch.balances.values())
        if not balances:
            await _require_account(work, question.account)
    else:
        consumer = question.consumer.token if question.consumer is not None else ""
        request = DrawRequest(consumer, question.feature, None)
        batch = await load(work, [request], lock=False)
        reach = batch.reach.get(request)
        balances = list(reach.balances) if reach is not None else []
    is_unlimited = any(balance.unlimited for balance in balances)
    grants = [grant for grant in burn_order(balances) if grant.is_drawable] if balances else []
    totals = (await grant_totals(work, balances)).values()
    return m.Balance(
        granted=None if is_unlimited else sum(balance.granted + balance.beyond for balance in balances),
        consumed=sum(balance.consumed for balance in balances),
        reserved=sum(balance.reserved for balance in balances),
        expired=sum(balance.expired for balance in balances),
        remaining=None if is_unlimited else sum(balance.remaining for balance in balances),
        total=None if is_unlimited else sum(total or 0 for total in totals),
        overage=await _overage(work, balances),
        grants=await _grants(work, grants),
    )


@service.question(m.ListBalances)
async def list_balances(work: UnitOfWork, question: m.ListBalances) -> m.BalancePage:
    """Return a page of balances, ordered by account and feature."""
    after = decode_cursor(question.cursor, 2) if question.cursor is not None else ("", "")
    whose = question.account or (question.consumer.token if question.consumer is not None else "")
    statement = LIST_KEYS.format(whose=OF_ACCOUNT if question.account is not None else OF_CONSUMER)
    values = {"account": after[0], "feature": after[1], "whose": whose, "limit": question.limit + 1}
    keys = await (await work.driver.execute(statement, values)).fetchall()
    shown = [(row[0], row[1]) for row in keys[: question.limit]]
    batch = await load(work, named=shown, lock=False) if shown else LedgerBatch(EventEncoder(work))
    return m.BalancePage(
        items=[balance_snapshot(batch.balances[key]) for key in shown if key in batch.balances],
        next_cursor=encode_cursor(*shown[-1]) if len(keys) > question.limit else None,
    )


@service.question(m.ListEntries)
async def list_entries(work: UnitOfWork, question: m.ListEntries) -> m.EntryPage:
    """Return a page of an account's ledger entries, newest first."""
    before, before_id = _entry_key(question.cursor) if question.cursor is not None else (MAX_TIME, "")
    values = {
        "account": question.account,
        "feature": question.feature,
        "since": question.since or MIN_TIME,
        "until": question.until or MAX_TIME,
        "before": before,
        "before_id": before_id,
        "limit": question.limit + 1,
    }
    rows = await (await work.driver.execute(LIST_ENTRIES, values)).fetchall()
    shown = [_entry(row) for row in rows[: question.limit]]
    more = len(rows) > question.limit
    return m.EntryPage(
        items=shown,
        next_cursor=encode_cursor(shown[-1].occurred_at.isoformat(), shown[-1].entry_id) if more else None,
    )


def _entry(row: Sequence[Any]) -> m.Entry:
    entry_id, account, feature, grant_id, kind, quantity, consumer, cause, reservation_id, metadata, at = row
    return m.Entry(
        entry_id=entry_id,
        account=account,
        feature=feature,
        grant_id=grant_id,
        kind=kind,
        quantity=quantity,
        consumer=Customer.from_token(consumer) if consumer is not None else None,
        caused_by=cause,
        reservation_id=reservation_id,
        metadata=metadata,
        occurred_at=at,
    )


def _entry_key(cursor: str) -> tuple[str, str]:
    at, entry_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at).isoformat(), entry_id
    except ValueError:
        raise Rejected("invalid_message", "The cursor is not one of ours.", {"field": "cursor"}) from None


async def _grants(work: UnitOfWork, grants: Iterable[Grant]) -> list[m.GrantSnapshot]:
    shown = list(grants)
    ids = orjson.dumps([grant.grant_id for grant in shown]).decode()
    rows = await (await work.driver.execute(SELECT_SOURCES, (ids,))).fetchall() if shown else []
    sources = {grant_id: m.GrantSource.model_validate(source) for grant_id, source in rows}
    return [grant_snapshot(grant, sources[grant.grant_id]) for grant in shown]


async def _overage(work: UnitOfWork, balances: Sequence[Balance]) -> m.OverageOwed | None:
    """Return the units of balances that are owed and on no invoice yet, in the currency with the most."""
    beyond = [balance for balance in balances if balance.beyond and balance.kind == "consumable"]
    if not beyond:
        return None
    columns = [balance.account for balance in beyond], [balance.feature for balance in beyond]
    row = await (await work.driver.execute(SELECT_OWED, columns)).fetchone()
    if row is None or row[0] <= 0:
        return None
    return m.OverageOwed(quantity=row[0], amount=Money(amount=max(row[1], 0), currency=row[2]))


async def _require_account(work: UnitOfWork, account: str) -> None:
    if await (await work.driver.execute(FIND_ACCOUNT, (account,))).fetchone() is None:
        raise no_account(account)
