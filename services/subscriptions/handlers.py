"""The commands, questions, followed events and jobs of this service, apart from the catalog's."""

from datetime import datetime

from services.subscriptions import answering
from services.subscriptions.canceling import (
    Cancellation,
    cancel_in_stripe,
    plan_cancellation,
    record_cancellation,
    record_until_current,
)
from services.subscriptions.checkouts import (
    CheckoutIntent,
    Trials,
    open_in_stripe,
    plan_checkout,
    record_checkout,
    release_checkout,
)
from services.subscriptions.free_plans import move_due_periods, subscribe_for_free
from services.subscriptions.intake.taking_in import take_in
from services.subscriptions.registering import (
    NOBODY,
    Registration,
    carry_out_in_stripe,
    plan_registration,
    record_registration,
)
from services.subscriptions.service import service
from services.subscriptions.stripe_gateway import StripeGateway
from shared.delivery import Incoming
from shared.steps import Steps
from shared.work import Rejected, Transactions, Work
from tallystick.messages import subscriptions as m
from tallystick.subjects import STRIPE_EVENTS_STREAM


@service.external_command(m.RegisterCustomer)
async def register_customer(
    steps: Steps, command: m.RegisterCustomer, stripe: StripeGateway
) -> m.CustomerFound:
    """Plan what Stripe must do, have it done, and let the customer be known."""
    if not stripe.configured and command.stripe_customer_id is None:
        return await steps.record(lambda work: record_registration(work, command, NOBODY))
    intent = await steps.intend(
        lambda work: plan_registration(work, command, payments=stripe.configured), Registration
    )
    counterpart = await carry_out_in_stripe(stripe, command, intent, steps.key("customer"))
    return await steps.record(lambda work: record_registration(work, command, counterpart))


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
    return await record_until_current(steps, command, stripe, intent.revision, answer)


@service.question(m.GetCustomer)
async def get_customer(work: Work, question: m.GetCustomer) -> m.CustomerFound:
    """A customer as they stand."""
    return await answering.get_customer(work, question)


@service.question(m.GetSubscription)
async def get_subscription(work: Work, question: m.GetSubscription) -> m.SubscriptionFound:
    """A subscription as it stands."""
    return await answering.get_subscription(work, question)


@service.question(m.ListSubscriptions)
async def list_subscriptions(work: Work, question: m.ListSubscriptions) -> m.SubscriptionPage:
    """Newest first."""
    return await answering.list_subscriptions(work, question)


@service.question(m.ListInvoices)
async def list_invoices(work: Work, question: m.ListInvoices) -> m.InvoicePage:
    """Newest first."""
    return await answering.list_invoices(work, question)


@service.question(m.CheckEntitlement)
async def check_entitlement(work: Work, question: m.CheckEntitlement) -> m.Allowance:
    """The same that the bucket says, by request."""
    return await answering.check_entitlement(work, question)


@service.question(m.ListEntitlements)
async def list_entitlements(work: Work, question: m.ListEntitlements) -> m.EntitlementPage:
    """By feature."""
    return await answering.list_entitlements(work, question)


@service.follow("subscriptions-stripe-events", stream=STRIPE_EVENTS_STREAM)
async def apply_stripe_event(transactions: Transactions, incoming: Incoming, stripe: StripeGateway) -> None:
    """Stripe's events, as stored and published by webhooks."""
    await take_in(transactions, incoming, stripe)


@service.job("move_periods")
async def move_periods(transactions: Transactions, at: datetime) -> None:
    """Free subscriptions have no provider that moves their periods."""
    await move_due_periods(transactions, at)
