"""Telling customers before it happens, once for each end of a trial or of a period."""

from datetime import datetime

import sqlalchemy as sa

from services.subscriptions.domain.reminders import (
    RENEWAL_NOTICE,
    TRIAL_NOTICE,
    renewal_is_near,
    trial_is_ending,
)
from services.subscriptions.due_batches import for_each_due
from services.subscriptions.lifecycle.card_expiry import announce_expired_cards
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.state_changes import emit_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork


@service.job("send_reminders")
async def send_reminders(transactions: Transactions, at: datetime, stripe: StripeGateway) -> None:
    """Trials that end, periods that renew, and cards that will have expired by then, are told before."""
    await remind(transactions, at)
    await announce_expired_cards(transactions, stripe, at)


async def remind(transactions: Transactions, at: datetime) -> None:
    """Announce the trials that end soon, and the periods that are followed by another."""
    await _announce_trials(transactions, at)
    await _announce_renewals(transactions, at)


async def announce_trial_end(work: UnitOfWork, row: SubscriptionRow, at: datetime) -> None:
    """Tell that a trial ends soon, unless that was told of this end."""
    end = trial_is_ending(state_of_row(row), at)
    if end is not None and row.trial_end_told_for != end:
        row.trial_end_told_for = end
        emit_subscription(work, row, "trialEnding")


async def _announce_trials(transactions: Transactions, at: datetime) -> None:
    async def announce(work: UnitOfWork, row: SubscriptionRow) -> None:
        await announce_trial_end(work, row, at)

    end = SubscriptionRow.trial_end
    due = sa.and_(
        SubscriptionRow.status == "trialing",
        sa.not_(SubscriptionRow.cancel_at_period_end),
        end > at,
        end <= at + TRIAL_NOTICE,
        SubscriptionRow.trial_end_told_for.is_distinct_from(end),
    )
    await for_each_due(transactions, "send_reminders", at, due, end, announce)


async def _announce_renewals(transactions: Transactions, at: datetime) -> None:
    async def announce(work: UnitOfWork, row: SubscriptionRow) -> None:
        row.renewal_told_for = renewal_is_near(state_of_row(row), at)
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
    await for_each_due(transactions, "send_reminders", at, due, end, announce)
