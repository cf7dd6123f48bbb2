"""Moving the periods that no payment provider moves: renewals, ends, and trials that become subscriptions.

What does more than go on into its next period is changed here, one by one.
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
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork

RENEWALS_BATCH = 500
"""Subscriptions moved in one transaction: past this a statement for all of them gains nothing on its commit,
and its customers would wait."""

IS_SELF_MANAGED = sa.and_(
    SubscriptionRow.stripe_subscription_id.is_(None), SubscriptionRow.ended_at.is_(None)
)
"""What has no Stripe object and has not ended."""
ADVANCES_AT_PERIOD_END = sa.or_(SubscriptionRow.status != "paused", SubscriptionRow.cancel_at_period_end)
"""A paused subscription has no next period, but still ends if that was asked for."""


@service.job("move_periods")
async def move_periods(transactions: Transactions, at: datetime) -> None:
    """What is free or paid outside has no provider to move its periods; overrides end on the same clock."""
    await move_due_periods(transactions, at)
    await end_due_overrides(transactions, at)


async def move_due_periods(transactions: Transactions, at: datetime) -> None:
    """Renew or end every subscription of our own whose period is over by then.

    A doubled tick finds nothing due, and a late one renews once however many periods went by.
    """
    due = sa.and_(IS_SELF_MANAGED, ADVANCES_AT_PERIOD_END, SubscriptionRow.current_period_end <= at)
    await _advance_due_periods(transactions, "move_periods", at, due)


@service.job("end_trials")
async def end_trials(transactions: Transactions, at: datetime) -> None:
    """Begin the first paid period of every subscription of our own whose trial is over by then.

    Stripe ends the trials of its own.
    """
    due = sa.and_(IS_SELF_MANAGED, SubscriptionRow.status == "trialing", SubscriptionRow.trial_end <= at)
    await _advance_due_periods(transactions, "end_trials", at, due)


@service.job("apply_changes")
async def apply_changes(transactions: Transactions, at: datetime) -> None:
    """Change what was scheduled for the end of a period of our own, which is moved with that."""
    waits = SubscriptionRow.scheduled_change.is_not(None)
    due = sa.and_(IS_SELF_MANAGED, ADVANCES_AT_PERIOD_END, waits, SubscriptionRow.current_period_end <= at)
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
    # What was renewed is due no longer.
    query = sa.select(SubscriptionRow).where(due, SubscriptionRow.customer == equals_any(tokens))
    rows = await work.session.scalars(query.order_by(SubscriptionRow.subscription_id))
    for row in rows.all():
        await change_subscription(work, row, _advanced_state(row, state_from_row(row), catalog, at))


def _advanced_state(row: SubscriptionRow, state: State, catalog: CatalogLookup, at: datetime) -> State:
    if row.period_interval is None or row.period_anchor is None:
        raise RuntimeError(f"{row.subscription_id} has a period of our own but no rhythm")
    changed, anchor, interval = apply_scheduled_change(
        state, catalog, row.period_anchor, row.period_interval, at
    )
    row.period_anchor, row.period_interval = anchor, interval
    return advance_period(changed, catalog, anchor, interval, at)
