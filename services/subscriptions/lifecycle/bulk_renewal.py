"""Bulk renewal of self-managed subscriptions that renew without any other change.

On the first of a month a hundred thousand of them may be due. They are read and written in batches, and what
is equal for many of them, their items, is parsed once. Entitlements stay as they are.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import NamedTuple

import orjson

from services.subscriptions.domain.billing_periods import BillingInterval, period_containing
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.self_managed_periods import with_current_terms
from services.subscriptions.snapshots import state_from_row, subscription_snapshot
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Interval

SELECT_PLAIN = """
    SELECT items::text, collection, subscription_id, customer, version, current_period_end, period_anchor,
           period_interval, period_interval_count, trial_end, created_at
    FROM subscriptions.subscriptions
    WHERE customer = ANY(%b) AND current_period_end <= %b AND status = 'active'
      AND stripe_subscription_id IS NULL AND ended_at IS NULL AND NOT cancel_at_period_end
      AND canceled_at IS NULL AND scheduled_change IS NULL AND grace_until IS NULL AND NOT restricted
      AND period_anchor IS NOT NULL AND period_interval IS NOT NULL
    ORDER BY subscription_id
"""
"""Selects every field in which two of these subscriptions can differ; the rest of the snapshot is equal."""

UPDATE_PERIODS = """
    UPDATE subscriptions.subscriptions AS old
    SET version = new.version, current_period_start = new.period_start, current_period_end = new.period_end
    FROM unnest(%b::text[], %b::bigint[], %b::timestamptz[], %b::timestamptz[])
        AS new (subscription_id, version, period_start, period_end)
    WHERE old.subscription_id = new.subscription_id
"""


class DueSubscription(NamedTuple):
    """A selected subscription whose period is over."""

    items: str
    collection: str
    subscription_id: str
    customer: str
    version: int
    current_period_end: datetime
    period_anchor: datetime
    period_interval: Interval
    period_interval_count: int
    trial_end: datetime | None
    created_at: datetime


async def renew_unchanged(
    work: UnitOfWork, tokens: Iterable[str], catalog: CatalogLookup, at: datetime
) -> None:
    """Renew the due subscriptions of these customers, whose rows are locked, that do not change otherwise.

    Subscriptions that end, change, or have other terms in the catalog now are skipped.
    """
    cursor = await work.driver.execute(SELECT_PLAIN, (list(tokens), at))
    templates = cache(lambda items, collection: _snapshot_template(items, collection, catalog))
    period = cache(lambda anchor, every: period_containing(anchor, every, at))
    renewed = [
        snapshot
        for due in map(DueSubscription._make, await cursor.fetchall())
        if (snapshot := _renewed(due, templates, period)) is not None
    ]
    if not renewed:
        return
    columns: tuple[list[object], ...] = (
        [snapshot.subscription_id for snapshot in renewed],
        [snapshot.version for snapshot in renewed],
        [snapshot.current_period_start for snapshot in renewed],
        [snapshot.current_period_end for snapshot in renewed],
    )
    await work.driver.execute(UPDATE_PERIODS, columns)
    for snapshot in renewed:
        work.emit(
            m.SubscriptionEvent,
            "renewed",
            customer=snapshot.customer,
            version=snapshot.version,
            subscription=snapshot,
        )


def _renewed(
    due: DueSubscription,
    templates: Callable[[str, str], m.SubscriptionSnapshot | None],
    period: Callable[[datetime, BillingInterval], tuple[datetime, datetime]],
) -> m.SubscriptionSnapshot | None:
    template = templates(due.items, due.collection)
    start, end = period(due.period_anchor, BillingInterval(due.period_interval, due.period_interval_count))
    if template is None or start < due.current_period_end:
        return None
    return template.model_copy(
        update={
            "subscription_id": due.subscription_id,
            "customer": Customer.from_token(due.customer),
            "version": due.version + 1,
            "current_period_start": start,
            "current_period_end": end,
            "trial_end": due.trial_end,
            "created_at": due.created_at,
        }
    )


def _snapshot_template(items: str, collection: str, catalog: CatalogLookup) -> m.SubscriptionSnapshot | None:
    """Build the snapshot shared by all subscriptions to these items; None if their terms have changed."""
    some = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    row = SubscriptionRow(
        subscription_id="sub_0",
        customer="user_0",
        version=1,
        status="active",
        collection=collection,
        items=orjson.loads(items),
        cancel_at_period_end=False,
        restricted=False,
        created_at=some,
    )
    is_same = all(with_current_terms(catalog, item) == item for item in state_from_row(row).items)
    return subscription_snapshot(row) if is_same else None
