"""What is bought beside a plan."""

from services.subscriptions.add_ons.cancel import (
    AddOnCancellation,
    as_cancellation,
    plan_add_on_cancellation,
    record_add_on_cancellation,
)
from services.subscriptions.add_ons.purchase import plan_purchase, record_free, record_purchase
from services.subscriptions.add_ons.queries import list_add_ons_of
from services.subscriptions.add_ons.stripe_purchase import PurchaseIntent, buy_in_stripe
from services.subscriptions.lifecycle.cancel import cancel_in_stripe
from services.subscriptions.lifecycle.optimistic_write import record_until_current
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Work
from tallystick.messages import subscriptions as m


@service.external_command(m.PurchaseAddOn)
async def purchase_add_on(steps: Steps, command: m.PurchaseAddOn, stripe: StripeGateway) -> m.AddOnPurchased:
    """Remember the details, buy in Stripe, write what came of it; what is free needs nobody outside."""
    intent = await steps.intend(lambda work: plan_purchase(work, command, stripe), PurchaseIntent)
    if intent.stripe_price_id is None:
        return await steps.record(lambda work: record_free(work, command, intent))
    bought = await buy_in_stripe(stripe, command, intent, steps)
    return await steps.record(lambda work: record_purchase(work, command, intent, bought))


@service.external_command(m.CancelAddOn)
async def cancel_add_on(steps: Steps, command: m.CancelAddOn, stripe: StripeGateway) -> m.AddOnFound:
    """Cancel its subscription, in Stripe where it has an object there."""
    intent = await steps.intend(lambda work: plan_add_on_cancellation(work, command), AddOnCancellation)
    stripe_id = intent.stripe_subscription_id
    if stripe_id is None:
        return await steps.record(
            lambda work: record_add_on_cancellation(work, command, intent, intent.revision, None)
        )
    inner = as_cancellation(command, intent.subscription_id)
    answer = await cancel_in_stripe(stripe, inner, stripe_id, steps.key("cancel"))
    return await record_until_current(
        steps,
        stripe,
        intent.revision,
        answer,
        lambda work, revision, current: record_add_on_cancellation(work, command, intent, revision, current),
    )


@service.question(m.ListAddOns)
async def list_add_ons(work: Work, question: m.ListAddOns) -> m.AddOnPage:
    """Newest first."""
    return await list_add_ons_of(work, question)
