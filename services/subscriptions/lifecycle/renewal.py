"""Renewing and ending self-managed subscriptions, and ending their trials.

Subscriptions that renew without any other change are renewed in bulk; all others are changed one by one.
"""

from datetime import datetime

import sqlalchemy as sa

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.self_managed_changes import apply_scheduled_change
from services.subscriptions.domain.self_managed_periods import advance_period
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.due_batches import check_progress, equals_any, job_cause
from services.subscriptions.lifecycle.bulk_renewal import renew_unchanged
from services.subscriptions.overrides.set_override import end_due_overrides
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import lock_customers
from services.subscriptions.service import service
from services.subscriptions.snapshots import period_from_row, state_from_row, write_period
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork

RENEWALS_BATCH = 500
"""Customers whose subscriptions are renewed in one transaction.

A larger batch saves nothing more on the commit, and its customers would stay locked for longer.
"""

IS_SELF_MANAGED = sa.and_(
    SubscriptionRow.stripe_subscription_id.is_(None), SubscriptionRow.ended_at.is_(None)
)
"""Has no Stripe object and has not ended."""
ADVANCES_AT_PERIOD_END = sa.or_(SubscriptionRow.status != "paused", SubscriptionRow.cancel_at_period_end)
"""A paused subscription has no next period, but ends if it is set to cancel."""


@service.job("move_periods")
async def move_periods(transactions: Transactions, at: datetime) -> None:
    """Renew or end self-managed subscriptions, and end overrides, that are due."""
    await move_due_periods(transactions, at)
    await end_due_overrides(transactions, at)


async def move_due_periods(transactions: Transactions, at: datetime) -> None:
    """Renew or end every self-managed subscription whose period is over by then.

    A repeated tick finds nothing due, and a late one renews once however many periods have passed.
    """
    due = sa.and_(IS_SELF_MANAGED, ADVANCES_AT_PERIOD_END, SubscriptionRow.current_period_end <= at)
    await _advance_due_periods(transactions, "move_periods", at, due)


@service.job("end_trials")
async def end_trials(transactions: Transactions, at: datetime) -> None:
    """Begin the first paid period of every self-managed subscription whose trial is over by then.

    Stripe ends the trials of its subscriptions.
    """
    due = sa.and_(IS_SELF_MANAGED, SubscriptionRow.status == "trialing", SubscriptionRow.trial_end <= at)
    await _advance_due_periods(transactions, "end_trials", at, due)


@service.job("apply_changes")
async def apply_changes(transactions: Transactions, at: datetime) -> None:
    """Apply the changes scheduled for the end of a self-managed period, which is renewed with that."""
    is_scheduled = SubscriptionRow.scheduled_change.is_not(None)
    due = sa.and_(
        IS_SELF_MANAGED, ADVANCES_AT_PERIOD_END, is_scheduled, SubscriptionRow.current_period_end <= at
    )
    await _advance_due_periods(transactions, "apply_changes", at, due)


async def _advance_due_periods(
    transactions: Transactions, job: str, at: datetime, due: sa.ColumnElement[bool]
) -> None:
    nearest = (
        sa.select(SubscriptionRow.customer)
        .where(due)
        .order_by(SubscriptionRow.current_period_end)
        .limit(RENEWALS_BATCH)
    )
    before: list[str] = []
    while True:
        async with transactions.begin(caused_by=job_cause(job, at), now=at) as work:
            tokens = list(await work.session.scalars(nearest))
            check_progress(job, before, tokens)
            if tokens:
                await _advance_batch(work, set(tokens), due, at)
        if len(tokens) < RENEWALS_BATCH:
            return
        before = tokens


async def _advance_batch(
    work: UnitOfWork, tokens: set[str], due: sa.ColumnElement[bool], at: datetime
) -> None:
    await lock_customers(work, tokens)
    catalog = await load_catalog(work)
    await renew_unchanged(work, tokens, catalog, at)
    # The renewed ones are no longer due.
    query = sa.select(SubscriptionRow).where(due, SubscriptionRow.customer == equals_any(tokens))
    rows = await work.session.scalars(query.order_by(SubscriptionRow.subscription_id))
    for row in rows.all():
        await change_subscription(work, row, _advanced_state(row, state_from_row(row), catalog, at))


def _advanced_state(row: SubscriptionRow, state: State, catalog: CatalogLookup, at: datetime) -> State:
    changed, anchor, every = apply_scheduled_change(state, catalog, *period_from_row(row), at)
    write_period(row, anchor, every)
    return advance_period(changed, catalog, anchor, every, at)
