"""Applying `invoice.*`: invoices are Stripe's, we keep and tell what it says of them."""

from dataclasses import replace

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.invoices import Invoice, invoice_changes, read_invoice
from services.subscriptions.domain.stripe_event_ordering import Verdict
from services.subscriptions.domain.stripe_objects import Json, StripeEvent
from services.subscriptions.dunning.grace import recount_grace
from services.subscriptions.repository.subscriptions import invoice_of_stripe, subscription_of_stripe
from services.subscriptions.snapshots import invoice_of_row
from services.subscriptions.state_changes import change_invoice
from services.subscriptions.stripe_webhooks.context import Application
from services.subscriptions.stripe_webhooks.fetched_objects import UNKNOWN
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.ids import new_id


async def apply_invoice(application: Application) -> None:
    """Bring our row to what the event, or in doubt Stripe itself, says of the invoice."""
    event, work = application.event, application.work
    theirs = await _read(application, event.object)
    if event.type == "invoice.deleted":
        theirs = replace(theirs, status="void")
    customer = await application.customer(theirs.stripe_customer_id, await _known(application, theirs))
    # What an event says of an attempt stays true, however much later anything else is known.
    failed = theirs.attempt_count if event.type == "invoice.payment_failed" else 0
    row = await invoice_of_stripe(work.session, theirs.stripe_invoice_id)
    before = invoice_of_row(row) if row is not None else None
    if row is not None and before is not None:
        verdict = judge_invoice(before, row, theirs, event)
        if verdict is Verdict.IGNORE:
            theirs = before
        elif verdict is Verdict.FETCH:
            theirs = await _settled(application, row, theirs)
    subscription_id = await _subscription(application, customer, theirs)
    if row is None:
        row = InvoiceRow(invoice_id=new_id("inv"), customer=customer.customer, version=0, told_failures=0)
        row.stripe_event_at = event.created
        work.session.add(row)
    row.subscription_id = subscription_id
    row.stripe_event_at = max(row.stripe_event_at, event.created)
    change_invoice(work, row, invoice_changes(before, theirs, told_failures=row.told_failures, failed=failed))
    if failed:
        row.failed_at = min(row.failed_at or event.created, event.created)
        await recount_grace(work, row, application.dunning)


def judge_invoice(before: Invoice, row: InvoiceRow, theirs: Invoice, event: StripeEvent) -> Verdict:
    """What to do with an event about an invoice that we have.

    An invoice only ever goes forward, which puts most states in order without asking. Time does not: what we
    have may have been fetched, and so be newer than the event that it was fetched for.
    """
    if theirs == before:
        return Verdict.IGNORE
    if theirs.progress > before.progress:
        return Verdict.APPLY
    if event.created < row.stripe_event_at:
        return Verdict.IGNORE
    is_behind = theirs.progress < before.progress
    return Verdict.IGNORE if is_behind and event.created == row.stripe_event_at else Verdict.FETCH


async def _known(application: Application, invoice: Invoice) -> InvoiceRow | SubscriptionRow | None:
    """What we have that says whose the invoice is: itself, or the subscription that it is for."""
    session, stripe_id = application.work.session, invoice.stripe_subscription_id
    row = await invoice_of_stripe(session, invoice.stripe_invoice_id)
    return row or (await subscription_of_stripe(session, stripe_id) if stripe_id is not None else None)


async def _settled(application: Application, row: InvoiceRow, theirs: Invoice) -> Invoice:
    answer = application.answers.invoice(row.stripe_invoice_id, row.version)
    return theirs if answer is None else await _read(application, answer)


async def _read(application: Application, body: Json) -> Invoice:
    """The invoice with all its lines, of which Stripe sends the first few along and lists the others."""
    if (body.get("lines") or {}).get("has_more"):
        lines = application.answers.lines(str(body.get("id")))
        body = body if lines is None else {**body, "lines": {"data": lines}}
    return read_invoice(body, await application.catalog())


async def _subscription(application: Application, customer: CustomerRow, invoice: Invoice) -> str | None:
    """Our id of the subscription that an invoice is for; one that we do not know yet is taken in first."""
    stripe_id = invoice.stripe_subscription_id
    if stripe_id is None:
        return None
    session = application.work.session
    row = await subscription_of_stripe(session, stripe_id)
    if row is None:
        theirs = application.answers.subscription(stripe_id, UNKNOWN)
        if theirs is None:
            return None
        await adopt_subscription(application.work, customer, theirs, await application.catalog())
        row = await subscription_of_stripe(session, stripe_id)
    return row.subscription_id if row is not None else None
