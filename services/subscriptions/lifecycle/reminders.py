"""Reminders before a trial ends, a period renews, or a card expires; one for each end."""

from datetime import datetime

import sqlalchemy as sa

from services.subscriptions.domain.reminders import (
    RENEWAL_NOTICE,
    TRIAL_NOTICE,
    renewal_is_near,
    trial_is_ending,
)
from services.subscriptions.due_batches import for_each_due
from services.subscriptions.lifecycle.card_expiry import emit_expiring_cards
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import emit_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork


@service.job("send_reminders")
async def send_reminders(transactions: Transactions, at: datetime, stripe: StripeGateway) -> None:
    """Emit reminders of trials that end, periods that renew, and cards that will have expired."""
    await emit_period_reminders(transactions, at)
    await emit_expiring_cards(transactions, stripe, at)


async def emit_period_reminders(transactions: Transactions, at: datetime) -> None:
    """Emit reminders of trials that end soon, and of periods that renew soon."""
    await _emit_trials_ending(transactions, at)
    await _emit_renewals_upcoming(transactions, at)


async def emit_trial_ending(work: UnitOfWork, row: SubscriptionRow, at: datetime) -> None:
    """Emit `trialEnding` if a trial ends soon, once for each end."""
    end = trial_is_ending(state_from_row(row), at)
    if end is not None and row.trial_end_told_for != end:
        row.trial_end_told_for = end
        emit_subscription(work, row, "trialEnding")


async def _emit_trials_ending(transactions: Transactions, at: datetime) -> None:
    async def emit(work: UnitOfWork, row: SubscriptionRow) -> None:
        await emit_trial_ending(work, row, at)

    end = SubscriptionRow.trial_end
    due = sa.and_(
        SubscriptionRow.status == "trialing",
        sa.not_(SubscriptionRow.cancel_at_period_end),
        end > at,
        end <= at + TRIAL_NOTICE,
        SubscriptionRow.trial_end_told_for.is_distinct_from(end),
    )
    await for_each_due(transactions, "send_reminders", at, due, end, emit)


async def _emit_renewals_upcoming(transactions: Transactions, at: datetime) -> None:
    async def emit(work: UnitOfWork, row: SubscriptionRow) -> None:
        row.renewal_told_for = renewal_is_near(state_from_row(row), at)
        emit_subscription(work, row, "renewalUpcoming")

    end = SubscriptionRow.current_period_end
    due = sa.and_(
        SubscriptionRow.status == "active",
        sa.not_(SubscriptionRow.cancel_at_period_end),
        end > at,
        end <= at + RENEWAL_NOTICE,
        end - SubscriptionRow.current_period_start > RENEWAL_NOTICE,
        SubscriptionRow.renewal_told_for.is_distinct_from(end),
    )
    await for_each_due(transactions, "send_reminders", at, due, end, emit)
