"""Applying `checkout.session.*` to the checkouts that were started here."""

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.payment_links import read_link_payment
from services.subscriptions.domain.stripe_objects import read_checkout
from services.subscriptions.repository.subscriptions import find_checkout, subscription_by_stripe_id
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent
from services.subscriptions.stripe_webhooks.fetched_objects import NO_REVISION
from services.subscriptions.stripe_webhooks.payment_link_uses import apply_link_payment


async def apply_checkout(context: EventContext) -> None:
    """Complete or release one of our checkouts, and adopt the subscription it led to.

    A completed session of a payment link is a use of the link.
    """
    work = context.work
    payment = read_link_payment(context.event.object)
    if payment is not None and context.event.type == "checkout.session.completed":
        await apply_link_payment(context, payment)
        return
    session = read_checkout(context.event.object)
    checkout = await find_checkout(
        work.session, checkout_id=session.checkout_id, stripe_checkout_id=session.stripe_checkout_id
    )
    if checkout is None or session.stripe_customer_id is None:
        raise IrrelevantEvent
    customer = await context.customer(session.stripe_customer_id)
    # Read again under the customer's lock.
    await work.session.refresh(checkout)
    if context.event.type == "checkout.session.expired":
        if checkout.status == "open":
            checkout.status = "expired"
        return
    checkout.status = "completed"
    stripe_id = session.stripe_subscription_id
    if stripe_id is None or await subscription_by_stripe_id(work.session, stripe_id) is not None:
        return
    # Not left to the subscription's own event: until then, nothing would reserve the plan.
    subscription = context.fetched.subscription(stripe_id, NO_REVISION)
    if subscription is not None:
        await adopt_subscription(work, customer, subscription, await context.catalog())
