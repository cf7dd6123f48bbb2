"""What happens when retries are used up, as this installation wants it.

Stripe ends such subscriptions by a setting of its dashboard that no API shows. Where it did what is wanted,
nothing is left to do here; where it did less, this does the rest.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from services.subscriptions.domain.dunning import EndState, given_up, is_given_up
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import OVERDUE
from services.subscriptions.lifecycle.stripe_mutation import locked
from services.subscriptions.reconciliation.stripe_sync import IS_LIVE, PAGE, Sync
from services.subscriptions.repository.subscriptions import invoice_of_stripe
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow

REASON = "It was not paid for, and the retries are used up."


@dataclass(frozen=True, slots=True)
class GivingUp:
    """One look at everybody who is overdue, by the job of `sync`."""

    sync: Sync
    wanted: EndState

    async def look(self) -> None:
        """End, or mark as unpaid, whatever nobody tries to collect any more."""
        last = ""
        while page := await self._overdue(last):
            for subscription_id, stripe_id in page:
                await self._settle(subscription_id, stripe_id)
                last = subscription_id

    async def _overdue(self, after: str) -> list[tuple[str, str]]:
        """Who owes something, apart from those who are where they are wanted already."""
        statuses = OVERDUE - {self.wanted}
        query = (
            sa.select(SubscriptionRow.subscription_id, SubscriptionRow.stripe_subscription_id)
            .where(IS_LIVE, SubscriptionRow.status.in_(statuses), SubscriptionRow.subscription_id > after)
            .order_by(SubscriptionRow.subscription_id)
            .limit(PAGE)
        )
        async with self.sync.begin() as work:
            return [(row[0], str(row[1])) for row in await work.session.execute(query)]

    async def _settle(self, subscription_id: str, stripe_id: str) -> None:
        theirs = await self.sync.stripe.find_subscription(stripe_id)
        if theirs is None or not await self._is_over(theirs):
            return
        if self.wanted == "canceled":
            key = f"subscriptions:end_of_retries:{stripe_id}"
            await self.sync.stripe.cancel_now(stripe_id, reason=REASON, key=key)
            await self.sync.correct(stripe_id)
            return
        async with self.sync.begin() as work:
            row = await locked(work, subscription_id)
            await change_subscription(work, row, given_up(state_of_row(row)))

    async def _is_over(self, theirs: StripeSubscription) -> bool:
        if theirs.status == "unpaid":
            return True
        if theirs.status != "past_due" or theirs.latest_invoice_id is None:
            return False
        invoice = await self.sync.stripe.find_invoice(theirs.latest_invoice_id)
        if invoice is None or not is_given_up(invoice, self.sync.at):
            return False
        return await self._has_failed(theirs, invoice.get("attempt_count"))

    async def _has_failed(self, theirs: StripeSubscription, attempts: object) -> bool:
        """Whether the last attempt is known to have failed: some payments are on their way for days."""
        if theirs.sends_invoice:
            return True
        async with self.sync.begin() as work:
            row = await invoice_of_stripe(work.session, str(theirs.latest_invoice_id))
            return row is not None and isinstance(attempts, int) and row.told_failures >= attempts
