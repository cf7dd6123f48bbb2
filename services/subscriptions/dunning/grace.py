"""The grace period of an overdue subscription, and its end."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from services.subscriptions.domain.dunning import GRACE_DAYS, EndState, restricted, with_recounted_grace
from services.subscriptions.due_batches import for_each_due
from services.subscriptions.repository.subscriptions import find_subscription, invoice_failures
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.subscriptions import InvoiceRow, SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork


@dataclass(frozen=True, slots=True)
class Dunning:
    """The installation's dunning settings; how often a payment is retried is set in Stripe."""

    grace_days: int = GRACE_DAYS
    end_state: EndState | None = None
    """The status after the last retry; None leaves it to Stripe's dashboard."""


@service.job("end_grace")
async def end_grace(transactions: Transactions, at: datetime) -> None:
    """Restrict every overdue subscription whose grace period is over by then."""

    async def restrict(work: UnitOfWork, row: SubscriptionRow) -> None:
        await change_subscription(work, row, restricted(state_from_row(row), at))

    due = sa.and_(
        SubscriptionRow.status == "past_due",
        sa.not_(SubscriptionRow.restricted),
        SubscriptionRow.grace_until <= at,
    )
    await for_each_due(transactions, "end_grace", at, due, SubscriptionRow.grace_until, restrict)


async def recount_grace(work: UnitOfWork, invoice: InvoiceRow, dunning: Dunning) -> None:
    """Count the grace period of an invoice's subscription from the failed payments known now."""
    if invoice.subscription_id is None:
        return
    await work.session.flush()
    row = await find_subscription(work.session, invoice.subscription_id)
    if row is None:
        return
    failures = await invoice_failures(work.session, row.subscription_id)
    unpaid = [at for at, is_owed in failures if is_owed]
    state = state_from_row(row)
    after = with_recounted_grace(state, [at for at, _ in failures], unpaid, days=dunning.grace_days)
    if after != state:
        await change_subscription(work, row, after)
