"""Applying `customer.updated` and `customer.deleted`: what was changed in Stripe or on its pages."""

from services.subscriptions.domain.stripe_objects import read_customer
from services.subscriptions.repository.subscriptions import lock_customer_of_stripe
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.stripe_webhooks.context import Application, NotOurs


async def apply_customer(application: Application) -> None:
    """Take over email and name, or forget a Stripe customer that is gone."""
    theirs = read_customer(application.event.object)
    row = await lock_customer_of_stripe(application.work.session, theirs.stripe_customer_id)
    if row is None:
        # Nothing is lost: who is registered later brings an email and a name along.
        raise NotOurs
    if application.event.type == "customer.deleted":
        row.stripe_customer_id = None
        emit_customer(application.work, row, "updated")
        return
    if (theirs.email or row.email, theirs.name) == (row.email, row.name):
        return
    # A register_customer may be newer than the event: what Stripe has now is right.
    present = application.answers.customer(theirs.stripe_customer_id, row.version) or theirs
    before = (row.email, row.name)
    row.email, row.name = present.email or row.email, present.name
    if before != (row.email, row.name):
        emit_customer(application.work, row, "updated")
