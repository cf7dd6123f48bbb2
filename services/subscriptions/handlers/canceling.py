"""Commands that end a subscription."""

from services.subscriptions.lifecycle.cancel import (
    Cancellation,
    cancel_in_stripe,
    plan_cancellation,
    record_cancellation,
)
from services.subscriptions.lifecycle.optimistic_write import record_until_current
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from tallystick.messages import subscriptions as m


@service.external_command(m.CancelSubscription)
async def cancel_subscription(
    steps: Steps, command: m.CancelSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Cancel in Stripe where the subscription has an object there, and write what it is then."""
    intent = await steps.intend(lambda work: plan_cancellation(work, command), Cancellation)
    stripe_id = intent.stripe_subscription_id
    if stripe_id is None:
        return await steps.record(lambda work: record_cancellation(work, command, intent.revision, None))
    answer = await cancel_in_stripe(stripe, command, stripe_id, steps.key("cancel"))
    return await record_until_current(
        steps,
        stripe,
        intent.revision,
        answer,
        lambda work, revision, current: record_cancellation(work, command, revision, current),
    )
