"""The weekly cleanup of incomplete subscriptions, parked events and open checkouts."""

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from services.subscriptions.domain.subscription_state import State
from services.subscriptions.reconciliation.stripe_sync import IS_LIVE, PAGE, StripeSync
from services.subscriptions.tables.subscriptions import CheckoutRow, ParkedEventRow, SubscriptionRow

INCOMPLETE_LIFETIME = timedelta(days=2)
"""Stripe expires a first payment after 23 hours; an older incomplete subscription was missed."""
PARKED_LIFETIME = timedelta(days=30)
"""How long Stripe lists an event; later it cannot be fetched either."""
CHECKOUT_GRACE = timedelta(days=7)
"""Stripe sends an event when a page expires; if the checkout is still open after this, it was missed."""


async def run_cleanup(sync: StripeSync) -> None:
    """Clean up everything that is due at the time of `sync`."""
    if sync.stripe.configured:
        await _end_incomplete_subscriptions(sync)
    async with sync.begin() as work:
        await work.session.execute(
            sa.delete(ParkedEventRow).where(ParkedEventRow.parked_at <= sync.at - PARKED_LIFETIME)
        )
        await work.session.execute(
            sa.update(CheckoutRow)
            .where(CheckoutRow.status == "open", CheckoutRow.expires_at <= sync.at - CHECKOUT_GRACE)
            .values(status="expired")
        )


async def _end_incomplete_subscriptions(sync: StripeSync) -> None:
    query = (
        sa.select(SubscriptionRow.subscription_id, SubscriptionRow.stripe_subscription_id)
        .where(
            IS_LIVE,
            SubscriptionRow.status == "incomplete",
            SubscriptionRow.created_at <= sync.at - INCOMPLETE_LIFETIME,
        )
        .order_by(SubscriptionRow.subscription_id)
        .limit(PAGE)
    )
    last = ""
    while True:
        async with sync.begin() as work:
            found = (await work.session.execute(query.where(SubscriptionRow.subscription_id > last))).all()
        for subscription_id, stripe_id in found:
            await _end_incomplete(sync, str(stripe_id))
            last = subscription_id
        if len(found) < PAGE:
            return


async def _end_incomplete(sync: StripeSync, stripe_id: str) -> None:
    def expire(state: State) -> State:
        return replace(state, status="expired", ended_at=sync.at)

    subscription = await sync.stripe.find_subscription(stripe_id)
    if subscription is not None and subscription.status == "incomplete":
        await sync.stripe.cancel_now(stripe_id, reason=None, key=f"subscriptions:clean_up:{stripe_id}")
    await sync.sync_subscription(stripe_id, expire)
