"""Following refunds, credit notes and disputes of invoices that sellers have a share of."""

from services.payouts.earnings.settlement import lock_invoice, settle_invoice
from services.payouts.service import service
from services.payouts.tables.ledger import InvoiceRow
from shared.messaging.feed_consumer import EventName
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import InvoiceEvent, InvoiceSnapshot


@service.event(InvoiceEvent, name="follow_invoice")
async def follow_invoice(work: UnitOfWork, event: InvoiceEvent, name: EventName) -> None:
    """Note what was paid back of an invoice, and settle its shares.

    Invoices of which nothing was paid back and that no seller has a share of are not stored.
    """
    invoice = event.invoice
    row = await lock_invoice(work, invoice.invoice_id, create=_is_paid_back(invoice))
    if row is None:
        return
    # Also of an event that comes late: whether the newest dispute is open is told by the names alone.
    if name == "disputed":
        row.opened_version = max(row.opened_version, event.version)
    if name == "disputeClosed" and event.version > row.closed_version:
        row.closed_version, row.lost = event.version, invoice.amount_disputed
    if event.version > row.version:
        _note(row, event.version, invoice)
    await settle_invoice(work, row)


def _is_paid_back(invoice: InvoiceSnapshot) -> bool:
    return bool(invoice.amount_refunded or invoice.amount_credited or invoice.amount_disputed)


def _note(row: InvoiceRow, version: int, invoice: InvoiceSnapshot) -> None:
    row.version = version
    # A credit note that was refunded is in both sums.
    row.refunded = max(invoice.amount_refunded, invoice.amount_credited)
    row.disputed = invoice.amount_disputed
