"""Applying `invoice.*`: invoices are Stripe's, we keep and tell what it says of them."""

from services.subscriptions.changing import change_invoice
from services.subscriptions.domain.invoices import Invoice, invoice_changes, read_invoice
from services.subscriptions.domain.stripe_events import Verdict
from services.subscriptions.domain.stripe_objects import StripeEvent
from services.subscriptions.intake.application import Application
from services.subscriptions.linking import adopt_subscription
from services.subscriptions.snapshots import invoice_of_row
from services.subscriptions.store import invoice_of_stripe, subscription_of_stripe
from services.subscriptions.tables import CustomerRow, InvoiceRow
from shared.ids import new_id

UNKNOWN = 0
"""The revision under which Stripe is asked for what we have no row of."""


async def apply_invoice(application: Application) -> None:
    """Bring our row to what the event, or in doubt Stripe itself, says of the invoice."""
    event, work = application.event, application.work
    theirs = read_invoice(event.object, await application.shelf())
    customer = await application.customer(theirs.stripe_customer_id)
    row = await invoice_of_stripe(work.session, theirs.stripe_invoice_id)
    before = invoice_of_row(row) if row is not None else None
    if row is not None and before is not None:
        verdict = judge_invoice(before, row, theirs, event)
        if verdict is Verdict.IGNORE:
            return
        if verdict is Verdict.FETCH:
            theirs = await _settled(application, row, theirs)
    subscription_id = await _subscription(application, customer, theirs)
    if row is None:
        row = InvoiceRow(invoice_id=new_id("inv"), customer=customer.customer, version=0, told_failures=0)
        work.session.add(row)
    row.subscription_id = subscription_id
    row.stripe_event_at = event.created
    has_failed = event.type == "invoice.payment_failed"
    told = invoice_changes(before, theirs, told_failures=row.told_failures, has_failed=has_failed)
    change_invoice(work, row, told)


def judge_invoice(before: Invoice, row: InvoiceRow, theirs: Invoice, event: StripeEvent) -> Verdict:
    """What to do with an event about an invoice that we have.

    An invoice only ever goes forward, which puts most states of one second in order without asking.
    """
    if theirs == before:
        return Verdict.APPLY if event.created >= row.stripe_event_at else Verdict.IGNORE
    if event.created < row.stripe_event_at:
        return Verdict.IGNORE
    if theirs.progress < before.progress:
        return Verdict.IGNORE if event.created == row.stripe_event_at else Verdict.FETCH
    is_tie = event.created == row.stripe_event_at and theirs.progress == before.progress
    return Verdict.FETCH if is_tie else Verdict.APPLY


async def _settled(application: Application, row: InvoiceRow, theirs: Invoice) -> Invoice:
    answer = application.answers.invoice(row.stripe_invoice_id, row.version)
    return theirs if answer is None else read_invoice(answer, await application.shelf())


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
        await adopt_subscription(application.work, customer, theirs, await application.shelf())
        row = await subscription_of_stripe(session, stripe_id)
    return row.subscription_id if row is not None else None
