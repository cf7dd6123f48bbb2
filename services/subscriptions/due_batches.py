"""How jobs process due subscriptions: in batches of customers, one transaction for each batch.

A processed subscription is no longer due, so a repeated tick finds nothing, and a missed one is made up for
by the next.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from services.subscriptions.repository.subscriptions import lock_customers
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

DUE_CUSTOMERS_BATCH = 100
"""Customers changed in one transaction: enough to be cheap, few enough to keep locks short."""


def job_cause(job: str, at: datetime) -> str:
    """Return the `caused_by` of what a job of this service changes."""
    return tick_cause("subscriptions", job, at)


async def for_each_due(
    transactions: Transactions,
    job: str,
    at: datetime,
    due: sa.ColumnElement[bool],
    first: InstrumentedAttribute[datetime | None],
    change: Callable[[UnitOfWork, SubscriptionRow], Awaitable[None]],
) -> None:
    """Change every subscription that is `due`, in the order of the column `first`.

    `change` must leave the subscription no longer due.
    """
    nearest = sa.select(SubscriptionRow.customer).where(due).order_by(first).limit(DUE_CUSTOMERS_BATCH)
    before: list[str] = []
    while True:
        async with transactions.begin(caused_by=job_cause(job, at), now=at) as work:
            tokens = list(await work.session.scalars(nearest))
            check_progress(job, before, tokens)
            await lock_customers(work, set(tokens))
            query = sa.select(SubscriptionRow).where(due, SubscriptionRow.customer == equals_any(tokens))
            rows = await work.session.scalars(query.order_by(SubscriptionRow.subscription_id))
            for row in rows.all():
                await change(work, row)
        if len(tokens) < DUE_CUSTOMERS_BATCH:
            return
        before = tokens


def equals_any(tokens: Iterable[str]) -> sa.CollectionAggregate[bool]:
    """Compare with any of these tokens: one array parameter, where IN takes one for each."""
    return sa.any_(sa.cast(list(tokens), sa.ARRAY(sa.Text)))


def check_progress(job: str, before: list[str], tokens: list[str]) -> None:
    """Raise RuntimeError if a batch equals the one before: the job would never end."""
    if tokens and tokens == before:
        raise RuntimeError(f"{job} makes no progress with {tokens[0]} and {len(tokens) - 1} others")
