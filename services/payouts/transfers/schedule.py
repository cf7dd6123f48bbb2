"""Payout schedules of sellers, and the job that makes the payouts that are due."""

from datetime import datetime

import sqlalchemy as sa

from services.payouts.accounts.repository import IS_OPEN, lock_open_account
from services.payouts.accounts.state_changes import account_snapshot, emit_account
from services.payouts.domain.payout_rules import Minimum
from services.payouts.domain.schedule import next_payout_at
from services.payouts.service import service
from services.payouts.tables.accounts import AccountRow
from services.payouts.transfers.repository import available_of
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money

DUE_BATCH = 100
"""Sellers whose payouts are queued in one transaction."""


@service.command(m.SetPayoutSchedule)
async def set_payout_schedule(work: UnitOfWork, command: m.SetPayoutSchedule) -> m.AccountFound:
    """Set when a seller is paid out; raises Rejected `not_connected`."""
    row = await lock_open_account(work.session, command.customer)
    money = command.minimum if isinstance(command.minimum, Money) else None
    wanted = {
        "hold_days": command.hold_days,
        "every": command.every,
        "minimum": money.amount if money else command.minimum,
        "minimum_currency": money.currency if money else None,
    }
    if any(getattr(row, name) != value for name, value in wanted.items()):
        if row.every != command.every:
            row.next_payout_at = next_payout_at(command.every, work.now)
        for name, value in wanted.items():
            setattr(row, name, value)
        emit_account(work, row, "updated")
    return m.AccountFound(account=account_snapshot(row))


@service.job("make_payouts")
async def make_payouts(transactions: Transactions, at: datetime) -> None:
    """Queue a payout for every seller and currency that is due by `at`; each is a command of its own."""
    cause = tick_cause("payouts", "make_payouts", at)
    due = sa.select(AccountRow).where(IS_OPEN, AccountRow.next_payout_at <= at)
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            query = due.order_by(AccountRow.next_payout_at).limit(DUE_BATCH)
            rows = (await work.session.scalars(query.with_for_update(skip_locked=True))).all()
            for row in rows:
                await _queue_payouts(work, row)
        if len(rows) < DUE_BATCH:
            return


async def _queue_payouts(work: UnitOfWork, row: AccountRow) -> None:
    due_at = row.next_payout_at
    assert due_at is not None
    row.next_payout_at = next_payout_at(row.every, work.now)  # type: ignore[arg-type] # a constraint
    if not row.payouts_enabled:
        return
    minimum = Minimum(row.minimum, row.minimum_currency)
    for currency, available in sorted((await available_of(work.session, row.customer)).items()):
        if available >= minimum.of(currency):
            day = due_at.date().isoformat()
            work.send(
                m.PayOut(
                    command_id=f"{row.payout_account_id}.{currency}.{day}",
                    requested_by=f"schedule: every {row.every}",
                    customer=Customer.from_token(row.customer),
                    currency=currency,
                    reference=day,
                )
            )
