"""Commands that begin a subscription."""

from services.subscriptions.checkout.start_checkout import (
    CheckoutIntent,
    Trials,
    open_in_stripe,
    plan_checkout,
    record_checkout,
    release_checkout,
)
from services.subscriptions.lifecycle.create import Creating
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Rejected
from tallystick.messages import subscriptions as m


@service.external_command(m.StartCheckout)
async def start_checkout(
    steps: Steps, command: m.StartCheckout, stripe: StripeGateway, trials: Trials
) -> m.CheckoutStarted:
    """Hold the plan, open Stripe's page, remember it; what Stripe refuses is held no longer."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_checkout(work, command, trials), CheckoutIntent)
    keys = (steps.key("customer"), steps.key("checkout"))
    try:
        opened = await open_in_stripe(stripe, command, intent, keys=keys)
    except Rejected:
        async with steps.transactions.begin(caused_by=command.command_id, now=steps.received_at) as work:
            await release_checkout(work, intent)
        raise
    return await steps.record(lambda work: record_checkout(work, intent, opened))


@service.external_command(m.CreateSubscription)
async def create_subscription(
    steps: Steps, command: m.CreateSubscription, stripe: StripeGateway, trials: Trials
) -> m.SubscriptionFound:
    """Free plans, and what is paid outside, need nobody else; everything else is made in Stripe."""
    return await Creating(steps, command, stripe, trials).carry_out()
