"""Giving accounts what they are due: the units of a new cycle, what is missing in the running one, the end.

What is due follows from what is known and from what each allotment says was granted, so settling again finds
nothing, and what a crash left undone is found by the next tick.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from services.consumables.domain.allotments import (
    CARRIED_PRIORITY,
    PLAN_PRIORITY,
    Due,
    due,
    effective_at,
    share_left,
)
from services.consumables.domain.balance import NewGrant, close
from services.consumables.domain.grant_cycles import Cycle, cycle_at
from services.consumables.grants.allotments import (
    START,
    After,
    Allotment,
    Position,
    before_of,
    key_of,
    source_of,
)
from services.consumables.grants.bulk_renewal import renew_plainly
from services.consumables.grants.limit_ceilings import settle_limits
from services.consumables.ledger.repository import LedgerBatch, open_balances
from services.consumables.ledger.writer import write
from services.consumables.service import service
from shared.ids import new_id
from shared.messaging.feed_consumer import Begin
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

SETTLED_AT_ONCE = 1_000
"""Allotments in one transaction: past this nothing gets cheaper, and who uses the same units would wait."""

SELECT_DUE = """
    SELECT allotments.subscription_id, slot, account, allotments.feature, kind, reach, every, quantity,
           rollover, offered, multiplier, prorated, cycle_number, cycle_start, granted, grant_ids, next_at,
           customer, product, anchor, period_start, period_end, ended_at
    FROM consumables.allotments
    JOIN consumables.terms USING (subscription_id, slot)
    JOIN consumables.known_subscriptions USING (subscription_id)
    WHERE next_at <= %(at)s AND (next_at, allotments.subscription_id, account, slot)
              > (%(next_at)s, %(subscription_id)s, %(account)s, %(slot)s)
      AND (ended_at IS NOT NULL OR grants AND next_at < period_end)
      {only}
    ORDER BY next_at, allotments.subscription_id, account, slot
    LIMIT %(limit)s
    FOR UPDATE OF allotments SKIP LOCKED
"""
"""A subscription that is suspended, or whose next period is not known to have been bought, waits."""
OF_SUBSCRIPTION = "AND allotments.subscription_id = %(only_subscription)s"
OF_ACCOUNTS = "AND account = ANY(%(only_accounts)s)"

WRITE_ALLOTMENTS = """
    UPDATE consumables.allotments AS old
    SET cycle_number = new.cycle_number, cycle_start = new.cycle_start, granted = new.granted,
        grant_ids = string_to_array(new.grant_ids, ' '), next_at = new.next_at, closed = new.closed,
        prorated = false
    FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::text[],
        %s::timestamptz[], %s::boolean[]
    ) AS new (subscription_id, slot, account, cycle_number, cycle_start, granted, grant_ids, next_at, closed)
    WHERE old.subscription_id = new.subscription_id AND old.slot = new.slot AND old.account = new.account
"""


@service.job("renew_grants")
async def renew_grants(transactions: Transactions, at: datetime) -> None:
    """Grant the units of every cycle that has begun by then."""
    cause = tick_cause("consumables", "renew_grants", at)
    await settle_all(lambda: transactions.begin(caused_by=cause, now=at), at)


async def settle_all(begin: Begin, at: datetime, *, subscription_id: str | None = None) -> None:
    """Settle everything that is due by a moment, or all of one subscription, batch after batch."""
    await renew_plainly(begin, at, subscription_id=subscription_id)
    position = START
    while True:
        async with begin() as work:
            found = await settle(work, at, position, subscription_id=subscription_id)
        if found is None:
            return
        position = found


async def settle(
    work: UnitOfWork,
    at: datetime,
    after: Position = START,
    *,
    subscription_id: str | None = None,
    accounts: Sequence[str] | None = None,
) -> Position | None:
    """Settle the next batch of what is due; how far it came, None when that was the last."""
    only = (OF_SUBSCRIPTION if subscription_id else "") + (OF_ACCOUNTS if accounts is not None else "")
    values = {
        **dict(zip(("next_at", "subscription_id", "account", "slot"), after, strict=True)),
        "at": at,
        "limit": SETTLED_AT_ONCE,
        "only_subscription": subscription_id,
        "only_accounts": accounts,
    }
    cursor = await work.driver.execute(SELECT_DUE.format(only=only), values, binary=True)
    rows = [Allotment._make(row) for row in await cursor.fetchall()]
    if not rows:
        return None
    await _settle_rows(work, rows, at)
    return rows[-1].position if len(rows) == SETTLED_AT_ONCE else None


async def _settle_rows(work: UnitOfWork, rows: list[Allotment], at: datetime) -> None:
    grant_ids = [grant_id for row in rows for grant_id in row.grant_ids]
    batch = await open_balances(work, [row.balance for row in rows], grant_ids=grant_ids)
    units = [row for row in rows if row.kind != "limit"]
    results = [(row, _settle_units(batch, row, at)) for row in units]
    limits = [row for row in rows if row.kind == "limit"]
    if limits:
        results += await settle_limits(batch, limits)
    # What expires before the units of a new cycle come neither counts as low nor is bought again.
    await write(work, batch, is_watched=False)
    await _write(work, results)


def _settle_units(batch: LedgerBatch, row: Allotment, at: datetime) -> After:
    grants = [batch.grants[grant_id] for grant_id in row.grant_ids if grant_id in batch.grants]
    before = before_of(row)
    if row.ended_at is not None:
        close(grants)
        return After(before.cycle if before else None, row.granted, row.grant_ids, None, closed=True)
    cycle = cycle_at(row.anchor, row.every, effective_at(at, row.period_start, row.period_end))
    left = sum(grant.unused for grant in grants)
    wanted = row.wanted
    share = share_left(cycle, at) if row.prorated else Fraction(1)
    now_due = due(wanted, row.rollover if row.offered else 0, cycle, before, left, share=share)
    next_at = cycle.end if row.offered else None
    if now_due is None:
        # Looked at for nothing: what is granted stays as it is until the cycle is over.
        return After(before.cycle if before else None, row.granted, row.grant_ids, next_at)
    if now_due.closes:
        close(grants)
    is_new = before is None or cycle.start > before.cycle.start
    kept = [] if is_new else row.grant_ids
    made = batch.give(batch.balances[row.account, row.feature], _new_grants(row, cycle, now_due, len(kept)))
    return After(cycle, wanted, [*kept, *made], next_at)


def _new_grants(row: Allotment, cycle: Cycle, now_due: Due, number: int) -> list[NewGrant]:
    new = []
    if now_due.carried:
        source = source_of(row, "rollover")
        key = key_of(row, cycle, number)
        new.append(NewGrant(new_id("grant"), now_due.carried, cycle.end, CARRIED_PRIORITY, source, key))
    if now_due.quantity != 0:
        key = key_of(row, cycle, number + len(new))
        new.append(NewGrant(new_id("grant"), now_due.quantity, cycle.end, PLAN_PRIORITY, source_of(row), key))
    return new


async def _write(work: UnitOfWork, results: Sequence[tuple[Allotment, After]]) -> None:
    columns: list[list[Any]] = [[], [], [], [], [], [], [], [], []]
    for row, after in results:
        cycle = after.cycle
        values = (
            row.subscription_id,
            row.slot,
            row.account,
            cycle.number if cycle else None,
            cycle.start if cycle else None,
            after.granted,
            " ".join(after.grant_ids),
            after.next_at,
            after.closed,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    await work.driver.execute(WRITE_ALLOTMENTS, columns)
