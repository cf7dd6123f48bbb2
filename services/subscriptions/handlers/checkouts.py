"""Commands that begin a subscription."""

from services.subscriptions.checkouts import (
    CheckoutIntent,
    Trials,
    open_in_stripe,
    plan_checkout,
    record_checkout,
    release_checkout,
)
from services.subscriptions.free_plans import subscribe_for_free
from services.subscriptions.service import service
from services.subscriptions.stripe_gateway import StripeGateway
from shared.steps import Steps
from shared.work import Rejected, Work
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


@service.command(m.CreateSubscription)
async def create_subscription(work: Work, command: m.CreateSubscription) -> m.SubscriptionFound:
    """Free plans need nobody outside."""
    return await subscribe_for_free(work, command)
