"""Applying `customer.updated` and `customer.deleted`: changes made in Stripe or its billing portal."""

from services.subscriptions.domain.stripe_objects import read_customer
from services.subscriptions.repository.subscriptions import lock_customer_by_stripe_id
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent
from services.subscriptions.stripe_webhooks.new_payment_method import pay_open_invoices


async def apply_customer(context: EventContext) -> None:
    """Copy email and name, or unlink a deleted Stripe customer."""
    stripe_customer = read_customer(context.event.object)
    row = await lock_customer_by_stripe_id(context.work.session, stripe_customer.stripe_customer_id)
    if row is None:
        # Nothing is lost: a later registration has its own email and name.
        raise IrrelevantEvent
    if context.event.type == "customer.deleted":
        row.stripe_customer_id = None
        emit_customer(context.work, row, "updated")
        return
    pay_open_invoices(context, row.customer)
    if (stripe_customer.email or row.email, stripe_customer.name) == (row.email, row.name):
        return
    # A register_customer may be newer than the event, so the present customer is fetched.
    current = context.fetched.customer(stripe_customer.stripe_customer_id, row.version) or stripe_customer
    before = (row.email, row.name)
    row.email, row.name = current.email or row.email, current.name
    if before != (row.email, row.name):
        emit_customer(context.work, row, "updated")
