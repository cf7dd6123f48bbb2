"""Comparing subscriptions with Stripe's and correcting differences.

Webhooks keep both in step; this corrects what they missed, and its changes name the job as their cause.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.dunning import with_grace
from services.subscriptions.domain.invoices import overdue_since
from services.subscriptions.domain.self_managed_periods import canceled
from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import StripeSubscription, read_subscription
from services.subscriptions.domain.subscription_state import State, changes
from services.subscriptions.due_batches import job_cause
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.lifecycle.stripe_mutation import Outdated, apply_stripe_answer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import (
    invoice_failures,
    lock_customer,
    lock_customer_by_stripe_id,
    subscription_by_stripe_id,
)
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import CustomerRow, SubscriptionRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.subscriptions import FINAL_STATUSES

log = structlog.get_logger()

PAGE = 100
"""Subscriptions compared at a time: a page of Stripe's list."""
CORRECTION_TRIES = 3
"""How often a subscription is fetched again because an event came in between."""

IS_LIVE = sa.and_(
    SubscriptionRow.stripe_subscription_id.is_not(None), SubscriptionRow.status.not_in(FINAL_STATUSES)
)
"""Has a Stripe object and has not ended."""


@dataclass(frozen=True, slots=True)
class StripeSync:
    """One comparison of all subscriptions, by the job of this name."""

    transactions: Transactions
    stripe: StripeGateway
    dunning: Dunning
    at: datetime
    job: str = "sync_stripe"

    async def run(self) -> None:
        """Compare the pages of Stripe's list, then one by one the subscriptions that it does not contain.

        These have ended in Stripe or are on a test clock.
        """
        if not self.stripe.configured:
            return
        async for page in subscription_pages(self.stripe):
            for subscription in await self._find_differences(page):
                await self.sync_subscription(subscription.stripe_subscription_id)
        last = ""
        while ids := await self._not_synced(last):
            for subscription_id, stripe_id in ids:
                await self.sync_subscription(stripe_id)
                last = subscription_id

    async def sync_subscription(
        self, stripe_id: str, when_missing: Callable[[State], State] | None = None
    ) -> None:
        """Bring our row to what Stripe has now; adopt a missed subscription of a customer of ours.

        A subscription that Stripe does not have is canceled, or gets the state that `when_missing` returns.
        """
        for _ in range(CORRECTION_TRIES):
            revision = await self._revision(stripe_id)
            answer = await self.stripe.find_subscription(stripe_id)
            late_since = await self._late_since(answer)
            async with self.begin() as work:
                try:
                    await self._write(work, stripe_id, revision, answer, late_since, when_missing)
                    return
                except Outdated:
                    await work.undo()
        log.warning("subscription keeps changing in Stripe", stripe_subscription_id=stripe_id)

    async def _write(
        self,
        work: UnitOfWork,
        stripe_id: str,
        revision: int | None,
        answer: StripeSubscription | None,
        late_since: datetime,
        when_missing: Callable[[State], State] | None,
    ) -> None:
        row = await subscription_by_stripe_id(work.session, stripe_id)
        if row is None:
            await self._adopt(work, answer)
            return
        await lock_customer(work.session, row.customer)
        await work.session.refresh(row)
        row.synced_at = self.at
        if row.status in FINAL_STATUSES:
            return
        before = state_from_row(row)
        if answer is None:
            row.stripe_revision += 1
            gone = when_missing(before) if when_missing else canceled(before, at=self.at)
            await change_subscription(work, row, gone)
            return
        failed = [at for at, is_owed in await invoice_failures(work.session, row.subscription_id) if is_owed]
        since = min(failed, default=late_since)
        if changes(before, self._with_grace(before, await _state_in_stripe(work, answer, before), since)):
            await apply_stripe_answer(
                work, row, revision or 0, answer, lambda state: self._with_grace(before, state, since)
            )

    def _with_grace(self, before: State, state: State, since: datetime) -> State:
        return with_grace(before, state, since=since, days=self.dunning.grace_days)

    async def _late_since(self, answer: StripeSubscription | None) -> datetime:
        """Return when the subscription became overdue, if no failed payment is known."""
        if answer is None or answer.status != "past_due" or answer.latest_invoice_id is None:
            return self.at
        invoice = await self.stripe.find_invoice(answer.latest_invoice_id)
        return (overdue_since(invoice) if invoice is not None else None) or self.at

    async def _adopt(self, work: UnitOfWork, answer: StripeSubscription | None) -> None:
        if answer is None:
            return
        customer = await lock_customer_by_stripe_id(work.session, answer.stripe_customer_id)
        if customer is not None:
            await adopt_subscription(work, customer, answer, await load_catalog(work))

    async def _find_differences(self, page: list[StripeSubscription]) -> list[StripeSubscription]:
        """Return the page's subscriptions that differ or are missing; mark the others as synced."""
        by_id = {subscription.stripe_subscription_id: subscription for subscription in page}
        async with self.begin() as work:
            catalog = await load_catalog(work)
            query = sa.select(SubscriptionRow).where(SubscriptionRow.stripe_subscription_id.in_(by_id))
            known = {row.stripe_subscription_id: row for row in await work.session.scalars(query)}
            customers = await _known_customers(work, page)
            differing = []
            for stripe_id, subscription in by_id.items():
                row = known.get(stripe_id)
                if row is None:
                    if subscription.stripe_customer_id in customers:
                        differing.append(subscription)
                    continue
                before = state_from_row(row)
                state = self._with_grace(before, state_from_stripe(subscription, catalog, before), self.at)
                if row.status not in FINAL_STATUSES and changes(before, state):
                    differing.append(subscription)
            same = by_id.keys() - {subscription.stripe_subscription_id for subscription in differing}
            await _mark_synced(work, same, self.at)
        return differing

    async def _not_synced(self, after: str) -> list[tuple[str, str]]:
        old = sa.or_(SubscriptionRow.synced_at.is_(None), SubscriptionRow.synced_at < self.at)
        query = (
            sa.select(SubscriptionRow.subscription_id, SubscriptionRow.stripe_subscription_id)
            .where(IS_LIVE, old, SubscriptionRow.subscription_id > after)
            .order_by(SubscriptionRow.subscription_id)
            .limit(PAGE)
        )
        async with self.begin() as work:
            found = await work.session.execute(query)
            return [(row[0], str(row[1])) for row in found]

    async def _revision(self, stripe_id: str) -> int | None:
        query = sa.select(SubscriptionRow.stripe_revision)
        async with self.begin() as work:
            return await work.session.scalar(query.where(SubscriptionRow.stripe_subscription_id == stripe_id))

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction that names this job as its cause."""
        return self.transactions.begin(caused_by=job_cause(self.job, self.at), now=self.at)


async def _state_in_stripe(work: UnitOfWork, answer: StripeSubscription, before: State) -> State:
    return state_from_stripe(answer, await load_catalog(work), before)


async def _known_customers(work: UnitOfWork, page: list[StripeSubscription]) -> set[str]:
    ids = {subscription.stripe_customer_id for subscription in page}
    query = sa.select(CustomerRow.stripe_customer_id).where(CustomerRow.stripe_customer_id.in_(ids))
    return {found for found in await work.session.scalars(query) if found is not None}


async def _mark_synced(work: UnitOfWork, stripe_ids: set[str], at: datetime) -> None:
    """Mark rows as synced; locked rows are skipped and compared one by one later."""
    free = (
        sa.select(SubscriptionRow.subscription_id)
        .where(SubscriptionRow.stripe_subscription_id.in_(stripe_ids))
        .with_for_update(skip_locked=True)
    )
    await work.session.execute(
        sa.update(SubscriptionRow)
        .where(SubscriptionRow.subscription_id.in_(free))
        .values(synced_at=at)
        .execution_options(synchronize_session=False)
    )


async def subscription_pages(gateway: StripeGateway) -> AsyncIterator[list[StripeSubscription]]:
    """Yield pages of Stripe's subscriptions that have not ended, newest first."""
    params: dict[str, Any] = {"limit": PAGE, "expand": ["data.schedule"]}
    while True:
        async with gateway.calls():
            listed = await gateway.api.subscriptions.list_async(params)  # type: ignore[arg-type]
            page = [read_subscription(found.to_dict()) for found in listed.data]
        if page:
            yield page
        if not listed.has_more or not page:
            return
        params["starting_after"] = page[-1].stripe_subscription_id
