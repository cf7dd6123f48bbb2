"""Reporting sales of products that have a seller to `payouts`, which books the seller's share."""

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.invoices import InvoiceChange
from services.subscriptions.tables.subscriptions import InvoiceRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.catalog import FlatFeeEntry
from tallystick.messages.payouts import RecordSale, SoldLine
from tallystick.messages.subscriptions import InvoiceLine


def report_sale(work: UnitOfWork, row: InvoiceRow, steps: list[InvoiceChange], catalog: CatalogView) -> None:
    """Report an invoice that was just paid, with the terms of its products' sellers as they are now.

    A command of its own, because the terms are for the seller alone: the invoice's events reach the buyer.
    """
    paid = next((step.invoice for step in steps if step.event == "paid"), None)
    if paid is None:
        return
    lines = [sold for line in paid.lines if (sold := _sold_line(line, catalog)) is not None]
    if lines:
        work.send(
            RecordSale(
                command_id=f"sale.{row.invoice_id}",
                requested_by=f"subscriptions: {work.caused_by}"[:200],
                invoice_id=row.invoice_id,
                currency=paid.currency,
                total=paid.total,
                paid_at=work.now,
                lines=lines,
            )
        )


def _sold_line(line: InvoiceLine, catalog: CatalogView) -> SoldLine | None:
    product = catalog.product(line.product) if line.product is not None else None
    if product is None or product.seller is None or line.net is None:
        return None
    terms = product.seller
    return SoldLine(
        product=product.code,
        seller=terms.customer,
        share_percent=terms.share_percent,
        fee=FlatFeeEntry.model_validate(terms.fee.model_dump()) if terms.fee else None,
        net=line.net,
    )
