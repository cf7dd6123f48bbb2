"""Comparing connected accounts with Stripe: at an event about one, and all of them every day."""

from datetime import datetime

from services.payouts.accounts.repository import lock_by_stripe_id, open_stripe_ids
from services.payouts.accounts.state_changes import emit_account, write_stripe_state
from services.payouts.domain.stripe_account import StripeAccount
from services.payouts.service import service
from services.payouts.stripe.client import StripeConnect
from services.payouts.tables.accounts import AccountRow
from shared.clock import utc_now
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

SYNC_BATCH = 100
"""Ids of accounts loaded at a time; each account is asked for by itself."""


@service.job("sync_accounts")
async def sync_accounts(transactions: Transactions, at: datetime, stripe: StripeConnect) -> None:
    """Ask Stripe for every open account and tell what differs; one that has left is disconnected."""
    if not stripe.configured:
        return
    cause, after = tick_cause("payouts", "sync_accounts", at), ""
    while True:
        async with transactions.read(asked=cause, now=at) as work:
            ids = await open_stripe_ids(work.session, after=after, limit=SYNC_BATCH)
        for stripe_account_id in ids:
            asked_at = utc_now()
            known = await stripe.find_account(stripe_account_id)
            async with transactions.begin(caused_by=cause, now=at) as work:
                await apply_account(work, stripe_account_id, known, asked_at)
        if len(ids) < SYNC_BATCH:
            return
        after = ids[-1]


async def apply_account(
    work: UnitOfWork, stripe_account_id: str, known: StripeAccount | None, asked_at: datetime
) -> bool:
    """Write what Stripe answered about an account (None: it has left); return whether it is one of ours."""
    row = await lock_by_stripe_id(work.session, stripe_account_id)
    if row is None:
        return False
    if known is None:
        disconnect(work, row)
    elif row.disconnected_at is None and write_stripe_state(row, known, asked_at):
        emit_account(work, row, "updated")
    return True


def disconnect(work: UnitOfWork, row: AccountRow) -> None:
    """Mark an account as disconnected; the seller may open another one."""
    if row.disconnected_at is not None:
        return
    row.disconnected_at = work.now
    row.payouts_enabled = row.charges_enabled = False
    emit_account(work, row, "disconnected")
