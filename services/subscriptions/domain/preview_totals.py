"""Building a preview from an invoice that would be made, or from its lines."""

from collections.abc import Iterable

from services.subscriptions.domain.invoice_taxes import totals_of
from services.subscriptions.domain.invoices import Invoice, invoice_totals
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money


def invoice_preview(
    invoice: Invoice,
    following: m.PreviewTotals | None = None,
    *,
    lines: Iterable[m.InvoiceLine] | None = None,
) -> m.ChangePreview:
    """Build the preview of an invoice that is due now, before `following` ones; else it is the next one."""
    totals = invoice_totals(invoice)
    regular, due_now = (totals, 0) if following is None else (following, invoice.amount_due)
    return m.ChangePreview(
        due_now=Money(amount=due_now, currency=invoice.currency),
        next_invoice=Money(amount=regular.amount_due, currency=invoice.currency),
        lines=list(invoice.lines if lines is None else lines),
        totals=totals,
        next_invoice_tax=Money(amount=regular.tax, currency=invoice.currency),
    )


def lines_preview(lines: list[m.InvoiceLine], currency: str) -> m.ChangePreview:
    """Build the preview of a next invoice from its lines."""
    totals = totals_of(lines)
    return m.ChangePreview(
        due_now=Money(amount=0, currency=currency),
        next_invoice=Money(amount=totals.amount_due, currency=currency),
        lines=lines,
        totals=totals,
        next_invoice_tax=Money(amount=totals.tax, currency=currency),
    )
