"""Granting of due allotments: new cycles, top-ups of running cycles, and the end of ended subscriptions.

The due units follow from the projections and from what each allotment records as granted. Running it again
grants nothing, and the next tick grants what a crash left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.consumables.domain.allotments import (
    CARRIED_PRIORITY,
    PLAN_PRIORITY,
    Due,
)
from services.consumables.domain.balance import NewGrant, end_grants, expire_units, newest_first
from services.consumables.domain.grant_cycles import Cycle
from services.consumables.grants.allotments import (
    START,
    Allotment,
    AllotmentUpdate,
    Position,
    grant_key,
    grant_source,
    previously_granted,
    units_due,
)
from services.consumables.grants.bulk_renewal import renew_in_bulk
from services.consumables.grants.limit_ceilings import set_ceilings
from services.consumables.grants.override_ends import move_ends
from services.consumables.grants.plan_ends import follow_plan_end
from services.consumables.ledger.repository import LedgerBatch, open_balances
from services.consumables.ledger.writer import write
from services.consumables.service import service
from shared.ids import new_id
from shared.messaging.feed_consumer import Begin
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

BATCH_SIZE = 1_000
"""Allotments in one transaction; larger batches are no faster and block consumption for longer."""

SELECT_DUE = """
    SELECT allotments.subscription_id, slot, account, allotments.feature, kind, reach, every, quantity,
           rollover, offered, sold, multiplier, prorated, cycle_number, cycle_start, granted, grant_ids,
           next_at, customer, product, anchor, period_start, period_end, ended_at, ends_at,
           withheld, cut_at
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
"""Selects due allotments, except of subscriptions that do not grant or whose next period is not known."""
OF_SUBSCRIPTION = "AND allotments.subscription_id = %(only_subscription)s"
OF_ACCOUNTS = "AND account = ANY(%(only_accounts)s)"

WRITE_ALLOTMENTS = """
    UPDATE consumables.allotments AS old
    SET cycle_number = new.cycle_number, cycle_start = new.cycle_start, granted = new.granted,
        grant_ids = string_to_array(new.grant_ids, ' '), next_at = new.next_at, closed = new.closed,
        withheld = new.withheld, prorated = false
    FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::text[],
        %s::timestamptz[], %s::boolean[], %s::bigint[]
    ) AS new (subscription_id, slot, account, cycle_number, cycle_start, granted, grant_ids, next_at, closed,
              withheld)
    WHERE old.subscription_id = new.subscription_id AND old.slot = new.slot AND old.account = new.account
"""


@service.job("renew_grants")
async def renew_grants(transactions: Transactions, at: datetime) -> None:
    """Grant the units of every cycle that has begun."""
    cause = tick_cause("consumables", "renew_grants", at)
    await grant_all_due(lambda: transactions.begin(caused_by=cause, now=at), at)


async def grant_all_due(begin: Begin, at: datetime, *, subscription_id: str | None = None) -> None:
    """Grant everything that is due at a moment, to all accounts or by one subscription, in batches."""
    await renew_in_bulk(begin, at, subscription_id=subscription_id)
    position: Position | None = START
    while position is not None:
        async with begin() as work:
            position = await grant_due(work, at, position, subscription_id=subscription_id)


async def grant_due(
    work: UnitOfWork,
    at: datetime,
    after: Position = START,
    *,
    subscription_id: str | None = None,
    accounts: Sequence[str] | None = None,
) -> Position | None:
    """Grant the next batch of due allotments; return its last position, or None after the last batch."""
    only = (OF_SUBSCRIPTION if subscription_id else "") + (OF_ACCOUNTS if accounts is not None else "")
    values = {
        **dict(zip(("next_at", "subscription_id", "account", "slot"), after, strict=True)),
        "at": at,
        "limit": BATCH_SIZE,
        "only_subscription": subscription_id,
        "only_accounts": accounts,
    }
    cursor = await work.driver.execute(SELECT_DUE.format(only=only), values, binary=True)
    rows = [Allotment._make(row).by_the_clock(at) for row in await cursor.fetchall()]
    if not rows:
        return None
    await _grant_rows(work, rows, at)
    return rows[-1].position if len(rows) == BATCH_SIZE else None


async def _grant_rows(work: UnitOfWork, rows: list[Allotment], at: datetime) -> None:
    grant_ids = [grant_id for row in rows for grant_id in row.grant_ids]
    batch = await open_balances(work, [row.balance for row in rows], grant_ids=grant_ids)
    consumables = [row for row in rows if row.kind != "limit"]
    results = [(row, move_ends(batch, row, _grant_cycle(batch, row, at))) for row in consumables]
    for row, update in results:
        follow_plan_end(batch, row, update)
    limits = [row for row in rows if row.kind == "limit"]
    if limits:
        results += await set_ceilings(batch, limits)
    # The end of the previous cycle's grants must neither emit `low` nor cause a recharge.
    await write(work, batch, emit_levels=False)
    await _update_allotments(work, results)


def _grant_cycle(batch: LedgerBatch, row: Allotment, at: datetime) -> AllotmentUpdate:
    grants = [batch.grants[grant_id] for grant_id in row.grant_ids if grant_id in batch.grants]
    if row.ended_at is not None:
        end_grants(grants)
        last = previously_granted(row)
        return AllotmentUpdate(last.cycle if last else None, row.granted, row.grant_ids, None, closed=True)
    cycle, before, own, _, units = units_due(row, grants, at)
    next_at = cycle.end if row.offered else None
    if units is None:
        # Nothing to grant: the grants stay as they are until the cycle ends.
        return AllotmentUpdate(
            before.cycle if before else None, row.granted, row.grant_ids, next_at, withheld=row.withheld
        )
    if units.closes:
        end_grants(grants)
    if units.taken_back:
        expire_units(sorted(own, key=newest_first), units.taken_back)
    is_new = before is None or cycle.start > before.cycle.start
    kept = [] if is_new else row.grant_ids
    added = batch.add_grants(
        batch.balances[row.account, row.feature], _new_grants(row, cycle, units, len(kept))
    )
    withheld = units.withheld if is_new else row.withheld
    return AllotmentUpdate(cycle, row.cycle_quantity, [*kept, *added], next_at, withheld=withheld)


def _new_grants(row: Allotment, cycle: Cycle, units: Due, number: int) -> list[NewGrant]:
    new = []
    if units.carried:
        source = grant_source(row, "rollover")
        key = grant_key(row, cycle, number)
        end = row.grant_end(cycle)
        new.append(NewGrant(new_id("grant"), units.carried, end, CARRIED_PRIORITY, source, key))
    if units.quantity != 0:
        key = grant_key(row, cycle, number + len(new))
        new.append(
            NewGrant(
                new_id("grant"), units.quantity, row.grant_end(cycle), PLAN_PRIORITY, grant_source(row), key
            )
        )
    return new


async def _update_allotments(work: UnitOfWork, results: Sequence[tuple[Allotment, AllotmentUpdate]]) -> None:
    columns: list[list[Any]] = [[], [], [], [], [], [], [], [], [], []]
    for row, update in results:
        cycle = update.cycle
        values = (
            row.subscription_id,
            row.slot,
            row.account,
            cycle.number if cycle else None,
            cycle.start if cycle else None,
            update.granted,
            " ".join(update.grant_ids),
            update.next_at,
            update.closed,
            update.withheld,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    await work.driver.execute(WRITE_ALLOTMENTS, columns)
