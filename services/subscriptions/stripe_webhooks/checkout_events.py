"""Applying `checkout.session.*`: what becomes of the checkouts that were started here."""

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.stripe_objects import read_checkout
from services.subscriptions.repository.subscriptions import find_checkout, subscription_of_stripe
from services.subscriptions.stripe_webhooks.context import Application, NotOurs
from services.subscriptions.stripe_webhooks.fetched_objects import UNKNOWN


async def apply_checkout(application: Application) -> None:
    """Complete or release one of our checkouts, and take in the subscription it led to."""
    work = application.work
    theirs = read_checkout(application.event.object)
    checkout = await find_checkout(
        work.session, checkout_id=theirs.checkout_id, stripe_checkout_id=theirs.stripe_checkout_id
    )
    if checkout is None or theirs.stripe_customer_id is None:
        raise NotOurs
    customer = await application.customer(theirs.stripe_customer_id)
    # Read again under the customer's lock.
    await work.session.refresh(checkout)
    if application.event.type == "checkout.session.expired":
        if checkout.status == "open":
            checkout.status = "expired"
        return
    checkout.status = "completed"
    stripe_id = theirs.stripe_subscription_id
    if stripe_id is None or await subscription_of_stripe(work.session, stripe_id) is not None:
        return
    # Now rather than with its own event: in between, nothing would hold the plan for this customer.
    subscription = application.answers.subscription(stripe_id, UNKNOWN)
    if subscription is not None:
        await adopt_subscription(work, customer, subscription, await application.catalog())
