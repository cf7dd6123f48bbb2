"""Applying `refund.*`, `charge.refunded`, `charge.dispute.*` and `credit_note.*`.

They name a payment, not its invoice, which is fetched. Their statuses only move up, so that they can be
applied late, twice and in any order.
"""

from services.subscriptions.domain.refunds import payment_of, read_dispute, read_refund
from services.subscriptions.domain.stripe_objects import Json, reference_id
from services.subscriptions.refunds.state_changes import note_dispute, note_refunds
from services.subscriptions.repository.subscriptions import invoice_by_stripe_id
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent
from services.subscriptions.stripe_webhooks.fetched_objects import NO_REVISION, NeedsStripeObject
from services.subscriptions.stripe_webhooks.invoice_events import (
    find_owner_row,
    read_with_lines,
    write_invoice_row,
)
from services.subscriptions.tables.subscriptions import InvoiceRow


async def apply_refund(context: EventContext) -> None:
    """Write the refunds of a payment: the event's own, or for a charge all that Stripe lists."""
    body = context.event.object
    payment_intent = payment_of(body)
    if payment_intent is None:
        raise IrrelevantEvent
    is_refund = body.get("object") == "refund"
    listed = [body] if is_refund else context.fetched.refunds(payment_intent)
    invoice = await _paid_invoice(context, payment_intent)
    await note_refunds(context.work, invoice, [read_refund(refund) for refund in listed])


async def apply_dispute(context: EventContext) -> None:
    """Write the dispute of a payment."""
    dispute, payment_intent = read_dispute(context.event.object), payment_of(context.event.object)
    if payment_intent is None:
        raise IrrelevantEvent
    await note_dispute(context.work, await _paid_invoice(context, payment_intent), dispute)


async def apply_credit_note(context: EventContext) -> None:
    """Write the invoice of a credit note as Stripe has it now; its refund has events of its own."""
    stripe_invoice_id = reference_id(context.event.object.get("invoice"))
    if stripe_invoice_id is None:
        raise IrrelevantEvent
    row = await _locked_row(context, stripe_invoice_id)
    revision = row.version if row is not None else NO_REVISION
    body = context.fetched.invoice(stripe_invoice_id, revision)
    if body is None:
        raise IrrelevantEvent
    await _write(context, row, body)


async def _paid_invoice(context: EventContext, payment_intent: str) -> InvoiceRow:
    """Return the row of the invoice that a payment paid, under its customer's lock.

    An invoice whose own events have not arrived yet is written first.
    """
    body = context.fetched.invoice_of_payment(payment_intent)
    if body is None:
        raise IrrelevantEvent
    row = await _locked_row(context, str(body.get("id")))
    return row if row is not None else await _write(context, None, body)


async def fetched_invoice(context: EventContext, stripe_invoice_id: str) -> InvoiceRow | None:
    """Return the row of an invoice, which is written first if its own events have not arrived yet."""
    row = await _locked_row(context, stripe_invoice_id)
    if row is not None:
        return row
    body = context.fetched.invoice(stripe_invoice_id, NO_REVISION)
    return await _write(context, None, body) if body is not None else None


async def _locked_row(context: EventContext, stripe_invoice_id: str) -> InvoiceRow | None:
    """Load the row of an invoice under its customer's lock; None if the invoice is not known yet."""
    row = await invoice_by_stripe_id(context.work.session, stripe_invoice_id)
    if row is None:
        return None
    await context.customer(row.stripe_customer_id, row)
    return await invoice_by_stripe_id(context.work.session, stripe_invoice_id)


async def _write(context: EventContext, row: InvoiceRow | None, body: Json) -> InvoiceRow:
    """Write a fetched invoice; one that appeared while its customer was waited for is fetched again."""
    invoice = await read_with_lines(context, body)
    customer = await context.customer(invoice.stripe_customer_id, await find_owner_row(context, invoice))
    present = await invoice_by_stripe_id(context.work.session, invoice.stripe_invoice_id)
    if row is None and present is not None:
        raise NeedsStripeObject("invoice", invoice.stripe_invoice_id, present.version)
    return await write_invoice_row(context, customer, present, invoice)
