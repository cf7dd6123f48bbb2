"""What Stripe tells, as stored and published by `webhooks`."""

from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe_webhooks.consumer import take_in
from shared.messaging.redelivery import Incoming
from shared.persistence.unit_of_work import Transactions
from tallystick.subjects import STRIPE_EVENTS_STREAM


@service.follow("subscriptions-stripe-events", stream=STRIPE_EVENTS_STREAM, name="apply_stripe_event")
async def apply_stripe_event(
    transactions: Transactions, incoming: Incoming, stripe: StripeGateway, dunning: Dunning
) -> None:
    """Stripe's events, as stored and published by webhooks."""
    await take_in(transactions, incoming, stripe, dunning)
