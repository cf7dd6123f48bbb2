"""Releasing held money once its hold days are over."""

from datetime import datetime

import sqlalchemy as sa

from services.payouts.ledger.shares import share_of, write_share
from services.payouts.ledger.writer import Key, open_ledger
from services.payouts.service import service
from services.payouts.tables.ledger import ShareRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

BALANCES_BATCH = 50
SHARES_BATCH = 500
"""Balances, and shares of each, that are released in one transaction: locks stay short."""
IS_DUE = (ShareRow.held > 0) & ~ShareRow.frozen


@service.job("release_held")
async def release_held(transactions: Transactions, at: datetime) -> None:
    """Make money available whose hold days are over by `at`; disputed shares stay held."""
    cause = tick_cause("payouts", "release_held", at)
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            keys = await _due_balances(work)
            for key in keys:
                await _release(work, key)
        if not keys:
            return


async def _due_balances(work: UnitOfWork) -> list[Key]:
    due = (
        sa.select(ShareRow.customer, ShareRow.currency)
        .where(IS_DUE, ShareRow.available_at <= work.now)
        .order_by(ShareRow.available_at)
        .limit(SHARES_BATCH)
        .subquery()
    )
    found = await work.session.execute(sa.select(due.c.customer, due.c.currency).distinct())
    return sorted((row[0], row[1]) for row in found)[:BALANCES_BATCH]


async def _release(work: UnitOfWork, key: Key) -> None:
    ledger = await open_ledger(work, [key])
    query = (
        sa.select(ShareRow)
        .where(
            IS_DUE,
            ShareRow.available_at <= work.now,
            ShareRow.customer == key[0],
            ShareRow.currency == key[1],
        )
        .order_by(ShareRow.available_at)
        .limit(SHARES_BATCH)
    )
    for row in await work.session.scalars(query):
        share = share_of(row)
        movement = share.release(work.now)
        write_share(row, share)
        ledger.write(key, movement, invoice_id=row.invoice_id, product=row.product)
    ledger.emit()
