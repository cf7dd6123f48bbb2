"""Recording a sale: the shares of a paid invoice, with the hold days of each seller."""

from datetime import datetime

from services.payouts.accounts.connect import SellerDefaults
from services.payouts.accounts.repository import find_any_account
from services.payouts.domain.schedule import available_at
from services.payouts.domain.shares import Sale, sales_of
from services.payouts.earnings.settlement import lock_invoice, settle_invoice
from services.payouts.service import service
from services.payouts.tables.ledger import ShareRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m


@service.command(m.RecordSale)
async def record_sale(work: UnitOfWork, command: m.RecordSale, defaults: SellerDefaults) -> m.SaleRecorded:
    """Book the shares of a paid invoice; a second report of the same invoice books nothing."""
    invoice = await lock_invoice(work, command.invoice_id, create=True)
    assert invoice is not None
    if invoice.total is not None:
        return m.SaleRecorded(invoice_id=command.invoice_id, entries=0)
    invoice.total, invoice.currency = command.total, command.currency
    sales = sales_of(command.lines, command.currency)
    for sale in sales:
        held_until = await _available_at(work, sale.seller, command.paid_at, defaults)
        work.session.add(_share(command, sale, held_until))
    await work.session.flush()
    fees = {(sale.product, sale.seller, sale.share_percent): sale.fee for sale in sales}
    entries = await settle_invoice(work, invoice, fees)
    return m.SaleRecorded(invoice_id=command.invoice_id, entries=entries)


async def _available_at(
    work: UnitOfWork, seller: str, paid_at: datetime, defaults: SellerDefaults
) -> datetime:
    account = await find_any_account(work.session, seller)
    return available_at(paid_at, account.hold_days if account else defaults.hold_days)


def _share(command: m.RecordSale, sale: Sale, held_until: datetime) -> ShareRow:
    return ShareRow(
        invoice_id=command.invoice_id,
        product=sale.product,
        customer=sale.seller,
        share_percent=sale.share_percent,
        currency=command.currency,
        net=sale.net,
        booked=0,
        held=0,
        fee=0,
        frozen=False,
        available_at=held_until,
    )
