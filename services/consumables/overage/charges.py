"""Charging of units beyond the included ones, once their billing period has ended.

What is owed is what was consumed from the grants of overages; what is charged is on the lines of charges. A
charge and its lines are committed first, and then put on an invoice by a command that is queued in the same
commit with the charge's id, so that a crash in between charges nothing twice and loses nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from services.consumables.domain.balance import Grant, end
from services.consumables.ledger.repository import LedgerBatch, load
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from services.consumables.tables.overage import OverageChargeRow, OverageLineRow, OverageRow
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import consumables as m

CUSTOMERS_BATCH_SIZE = 100
"""Customers whose overages are charged in one run of the job between two looks at the table."""
STALE_AFTER = timedelta(minutes=10)
"""Charges pending for longer are sent again; one takes seconds, and its command is retried."""
STALE_BATCH_SIZE = 1_000

IS_DUE = """
    closed_at IS NULL AND (retry_at IS NULL OR retry_at <= %(now)s) AND EXISTS (
        SELECT FROM consumables.known_subscriptions AS known
        WHERE known.subscription_id = owed.subscription_id
          AND (known.ended_at IS NOT NULL OR known.period_start > owed.period_start)
    )
"""
SELECT_CUSTOMERS = f"""
    SELECT DISTINCT customer FROM consumables.overages AS owed
    WHERE {IS_DUE} AND customer > %(after)s ORDER BY customer LIMIT %(limit)s
"""  # noqa: S608 - our own names
SELECT_DUE = f"""
    SELECT grant_id, account, feature FROM consumables.overages AS owed
    WHERE {IS_DUE} AND customer = %(customer)s ORDER BY grant_id
"""  # noqa: S608 - our own names


@service.job("charge_overages")
async def charge_overages(transactions: Transactions, at: datetime) -> None:
    """Charge what is owed for periods that have ended, and send charges again that may have been lost."""
    cause = tick_cause("consumables", "charge_overages", at)
    after = ""
    while True:
        async with transactions.read(asked="charge_overages", now=at) as work:
            values = {"now": at, "after": after, "limit": CUSTOMERS_BATCH_SIZE}
            rows = await (await work.driver.execute(SELECT_CUSTOMERS, values)).fetchall()
        for (customer,) in rows:
            async with transactions.begin(caused_by=cause, now=at) as work:
                await charge_ended_periods(work, customer)
        if len(rows) < CUSTOMERS_BATCH_SIZE:
            break
        after = rows[-1][0]
    async with transactions.begin(caused_by=cause, now=at) as work:
        await _send_stale(work)


async def charge_ended_periods(work: UnitOfWork, customer: str) -> None:
    """Charge what a customer owes for billing periods that have ended; units refunded since are set off."""
    found = await (await work.driver.execute(SELECT_DUE, {"now": work.now, "customer": customer})).fetchall()
    if not found:
        return
    batch = await load(
        work,
        named=[(account, feature) for _, account, feature in found],
        grant_ids=[grant_id for grant_id, _, _ in found],
    )
    # Read after the balances are locked, so that no other transaction charges the same units.
    query = sa.select(OverageRow).where(OverageRow.grant_id.in_([row[0] for row in found]))
    rows = (await work.session.scalars(query.order_by(OverageRow.grant_id).with_for_update())).all()
    for currency in sorted({row.currency for row in rows}):
        _charge(work, batch, [row for row in rows if row.currency == currency and row.closed_at is None])
    await work.flush()
    await write_and_recharge(work, batch)


def _charge(work: UnitOfWork, batch: LedgerBatch, rows: Sequence[OverageRow]) -> None:
    """Make one charge of what is owed in one currency, and close what has been settled."""
    open_units = {row.grant_id: batch.grants[row.grant_id].consumed - row.charged for row in rows}
    amount = sum(open_units[row.grant_id] * row.unit_amount for row in rows)
    if amount > 0:
        newest = max(rows, key=lambda row: (row.period_end, row.grant_id))
        _add_charge(work, newest, amount, open_units)
        for row in rows:
            row.charged += open_units[row.grant_id]
    for row in rows:
        grant = batch.grants[row.grant_id]
        if grant.consumed == row.charged and grant.reserved == 0:
            _close(work, row, grant)


def _add_charge(work: UnitOfWork, newest: OverageRow, amount: int, units: dict[str, int]) -> None:
    charge_id = new_id("charge")
    work.session.add(
        OverageChargeRow(
            charge_id=charge_id,
            customer=newest.customer,
            subscription_id=newest.subscription_id,
            amount=amount,
            currency=newest.currency,
            status="pending",
            created_at=work.now,
        )
    )
    work.session.add_all(
        OverageLineRow(charge_id=charge_id, grant_id=grant_id, quantity=quantity)
        for grant_id, quantity in units.items()
        if quantity
    )
    work.send(m.ChargeOverage(command_id=charge_id, charge_id=charge_id))


def _close(work: UnitOfWork, row: OverageRow, grant: Grant) -> None:
    row.closed_at = work.now
    if not grant.has_ended:
        end(grant)


async def _send_stale(work: UnitOfWork) -> None:
    stale: Iterable[str] = await work.session.scalars(
        sa.select(OverageChargeRow.charge_id)
        .where(OverageChargeRow.status == "pending", OverageChargeRow.created_at <= work.now - STALE_AFTER)
        .order_by(OverageChargeRow.charge_id)
        .limit(STALE_BATCH_SIZE)
    )
    for charge_id in stale:
        # The command has the id of the first one, so nothing is charged twice.
        work.send(m.ChargeOverage(command_id=charge_id, charge_id=charge_id))
