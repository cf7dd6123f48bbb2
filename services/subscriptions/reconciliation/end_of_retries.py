"""The configured end of a subscription whose payment retries are used up.

Stripe ends such subscriptions by a setting of its dashboard that no API exposes. If Stripe did what is
configured, nothing is left to do; if it did less, this does the rest.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from services.subscriptions.domain.dunning import EndState, collection_has_ended, mark_unpaid
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import OVERDUE_STATUSES
from services.subscriptions.lifecycle.stripe_mutation import lock_subscription
from services.subscriptions.reconciliation.stripe_sync import IS_LIVE, PAGE, StripeSync
from services.subscriptions.repository.subscriptions import invoice_by_stripe_id
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow

REASON = "It was not paid for, and the retries are used up."


@dataclass(frozen=True, slots=True)
class EndOfRetries:
    """One pass over all overdue subscriptions, within the job of `sync`."""

    sync: StripeSync
    end_state: EndState

    async def run(self) -> None:
        """Cancel, or mark as unpaid, every subscription whose payment is no longer retried."""
        last = ""
        while page := await self._overdue(last):
            for subscription_id, stripe_id in page:
                await self._end_if_retries_are_over(subscription_id, stripe_id)
                last = subscription_id

    async def _overdue(self, after: str) -> list[tuple[str, str]]:
        """Load a page of overdue subscriptions that do not have the end state yet."""
        statuses = OVERDUE_STATUSES - {self.end_state}
        query = (
            sa.select(SubscriptionRow.subscription_id, SubscriptionRow.stripe_subscription_id)
            .where(IS_LIVE, SubscriptionRow.status.in_(statuses), SubscriptionRow.subscription_id > after)
            .order_by(SubscriptionRow.subscription_id)
            .limit(PAGE)
        )
        async with self.sync.begin() as work:
            return [(row[0], str(row[1])) for row in await work.session.execute(query)]

    async def _end_if_retries_are_over(self, subscription_id: str, stripe_id: str) -> None:
        subscription = await self.sync.stripe.find_subscription(stripe_id)
        if subscription is None or not await self._retries_are_over(subscription):
            return
        if self.end_state == "canceled":
            key = f"subscriptions:end_of_retries:{stripe_id}"
            await self.sync.stripe.cancel_now(stripe_id, reason=REASON, key=key)
            await self.sync.sync_subscription(stripe_id)
            return
        async with self.sync.begin() as work:
            row = await lock_subscription(work, subscription_id)
            await change_subscription(work, row, mark_unpaid(state_from_row(row)))

    async def _retries_are_over(self, subscription: StripeSubscription) -> bool:
        if subscription.status == "unpaid":
            return True
        if subscription.status != "past_due" or subscription.latest_invoice_id is None:
            return False
        invoice = await self.sync.stripe.find_invoice(subscription.latest_invoice_id)
        if invoice is None or not collection_has_ended(invoice, self.sync.at):
            return False
        return await self._has_failed(subscription, invoice.get("attempt_count"))

    async def _has_failed(self, subscription: StripeSubscription, attempts: object) -> bool:
        """Whether the last attempt is known to have failed: some payments take days."""
        if subscription.sends_invoice:
            return True
        async with self.sync.begin() as work:
            row = await invoice_by_stripe_id(work.session, str(subscription.latest_invoice_id))
            return row is not None and isinstance(attempts, int) and row.told_failures >= attempts
