"""Applying `customer.updated` and `customer.deleted`: what was changed in Stripe or on its pages."""

from services.subscriptions.domain.stripe_objects import read_customer
from services.subscriptions.repository.subscriptions import lock_customer_by_stripe_id
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent


async def apply_customer(context: EventContext) -> None:
    """Take over email and name, or forget a Stripe customer that is gone."""
    stripe_customer = read_customer(context.event.object)
    row = await lock_customer_by_stripe_id(context.work.session, stripe_customer.stripe_customer_id)
    if row is None:
        # Nothing is lost: who is registered later brings an email and a name along.
        raise IrrelevantEvent
    if context.event.type == "customer.deleted":
        row.stripe_customer_id = None
        emit_customer(context.work, row, "updated")
        return
    if (stripe_customer.email or row.email, stripe_customer.name) == (row.email, row.name):
        return
    # A register_customer may be newer than the event: what Stripe has now is right.
    present = context.fetched.customer(stripe_customer.stripe_customer_id, row.version) or stripe_customer
    before = (row.email, row.name)
    row.email, row.name = present.email or row.email, present.name
    if before != (row.email, row.name):
        emit_customer(context.work, row, "updated")
