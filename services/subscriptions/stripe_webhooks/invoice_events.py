"""Applying `invoice.*`: a copy of Stripe's invoice is stored, and events are emitted for its changes."""

from dataclasses import replace

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.invoices import Invoice, InvoiceChange, invoice_changes, read_invoice
from services.subscriptions.domain.stripe_event_ordering import EventAction
from services.subscriptions.domain.stripe_objects import Json, StripeEvent
from services.subscriptions.dunning.grace import recount_grace
from services.subscriptions.repository.subscriptions import invoice_by_stripe_id, subscription_by_stripe_id
from services.subscriptions.snapshots import invoice_from_row
from services.subscriptions.state_changes import change_invoice
from services.subscriptions.stripe.invoices import unknown_tax_rates
from services.subscriptions.stripe_webhooks.context import EventContext
from services.subscriptions.stripe_webhooks.fetched_objects import NO_REVISION
from services.subscriptions.stripe_webhooks.seller_sales import report_sale
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.ids import new_id

ACTION_REQUIRED = "invoice.payment_action_required"
"""The customer has to confirm a payment at their bank."""


async def apply_invoice(context: EventContext) -> None:
    """Update our row from the event or, if the order is unclear, from the invoice fetched from Stripe."""
    event, work = context.event, context.work
    invoice = await read_with_lines(context, event.object)
    if event.type == "invoice.deleted":
        invoice = replace(invoice, status="void")
    customer = await context.customer(invoice.stripe_customer_id, await find_owner_row(context, invoice))
    # A failed attempt is a fact, even if a newer state of the invoice is known.
    failed = invoice.attempt_count if event.type == "invoice.payment_failed" else 0
    row = await invoice_by_stripe_id(work.session, invoice.stripe_invoice_id)
    before = invoice_from_row(row) if row is not None else None
    if row is not None and before is not None:
        verdict = choose_invoice_action(before, row, invoice, event)
        if verdict is EventAction.IGNORE:
            invoice = before
        elif verdict is EventAction.FETCH:
            invoice = await _fetch_current(context, row, invoice)
    needs_action = event.type == ACTION_REQUIRED and invoice.status == "open"
    row = await write_invoice_row(context, customer, row, invoice, failed=failed, needs_action=needs_action)
    row.stripe_event_at = max(row.stripe_event_at, event.created)
    if failed:
        row.failed_at = min(row.failed_at or event.created, event.created)
        await recount_grace(work, row, context.dunning)


async def write_invoice_row(
    context: EventContext,
    customer: CustomerRow,
    row: InvoiceRow | None,
    invoice: Invoice,
    *,
    failed: int = 0,
    needs_action: bool = False,
) -> InvoiceRow:
    """Write an invoice into its row, or a new one, with the events of its changes; return the row.

    `failed` is the number of the last attempt that is known to have failed; `needs_action`: the payment waits
    for the customer.
    """
    subscription_id = await _subscription_id(context, customer, invoice)
    before = invoice_from_row(row) if row is not None else None
    if row is None:
        row = InvoiceRow(invoice_id=new_id("inv"), customer=customer.customer, version=0, told_failures=0)
        row.stripe_event_at = context.event.created
        context.work.session.add(row)
    row.subscription_id = subscription_id
    steps = invoice_changes(before, invoice, emitted_failures=row.told_failures, failed=failed)
    if needs_action:
        steps.append(InvoiceChange("paymentActionRequired", invoice))
    change_invoice(context.work, row, steps)
    report_sale(context.work, row, steps, await context.catalog())
    return row


def choose_invoice_action(
    before: Invoice, row: InvoiceRow, invoice: Invoice, event: StripeEvent
) -> EventAction:
    """Decide what to do with an event about a known invoice.

    An invoice only progresses, which orders most states without fetching it. The events' times do not: our
    row may have been fetched and so be newer than the event that it was fetched for.
    """
    if invoice == before:
        return EventAction.IGNORE
    if invoice.progress > before.progress:
        return EventAction.APPLY
    if event.created < row.stripe_event_at:
        return EventAction.IGNORE
    is_behind = invoice.progress < before.progress
    return EventAction.IGNORE if is_behind and event.created == row.stripe_event_at else EventAction.FETCH


async def find_owner_row(context: EventContext, invoice: Invoice) -> InvoiceRow | SubscriptionRow | None:
    """Load the row that shows whose invoice it is: its own, or that of its subscription."""
    session, stripe_id = context.work.session, invoice.stripe_subscription_id
    row = await invoice_by_stripe_id(session, invoice.stripe_invoice_id)
    return row or (await subscription_by_stripe_id(session, stripe_id) if stripe_id is not None else None)


async def _fetch_current(context: EventContext, row: InvoiceRow, invoice: Invoice) -> Invoice:
    answer = context.fetched.invoice(row.stripe_invoice_id, row.version)
    return invoice if answer is None else await read_with_lines(context, answer)


async def read_with_lines(context: EventContext, body: Json) -> Invoice:
    """Read the invoice with all its lines; Stripe sends only the first few with the event."""
    if (body.get("lines") or {}).get("has_more"):
        lines = context.fetched.lines(str(body.get("id")))
        body = body if lines is None else {**body, "lines": {"data": lines}}
    catalog = await context.catalog()
    return read_invoice(body, catalog, context.fetched.tax_rates(unknown_tax_rates(body, catalog)))


async def _subscription_id(context: EventContext, customer: CustomerRow, invoice: Invoice) -> str | None:
    """Return our id of an invoice's subscription; an unknown subscription is adopted first."""
    stripe_id = invoice.stripe_subscription_id
    if stripe_id is None:
        return None
    session = context.work.session
    row = await subscription_by_stripe_id(session, stripe_id)
    if row is None:
        subscription = context.fetched.subscription(stripe_id, NO_REVISION)
        if subscription is None:
            return None
        await adopt_subscription(context.work, customer, subscription, await context.catalog())
        row = await subscription_by_stripe_id(session, stripe_id)
    return row.subscription_id if row is not None else None
