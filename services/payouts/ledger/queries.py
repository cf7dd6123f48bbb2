"""Questions about balances and entries of sellers."""

import sqlalchemy as sa

from services.payouts.ledger.snapshots import balance_values, entry_snapshot
from services.payouts.service import service
from services.payouts.tables.ledger import BalanceRow, EntryRow
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m


@service.question(m.SellerBalance)
async def seller_balance(work: UnitOfWork, question: m.SellerBalance) -> m.SellerBalances:
    """Return a seller's balances by currency; none if nothing was ever earned."""
    query = sa.select(BalanceRow).where(BalanceRow.customer == question.customer.token)
    rows = await work.session.scalars(query.order_by(BalanceRow.currency))
    items = [m.CurrencyBalance.model_validate(balance_values(row)) for row in rows]
    return m.SellerBalances(customer=question.customer, items=items)


@service.question(m.ListSellerEntries)
async def list_seller_entries(work: UnitOfWork, question: m.ListSellerEntries) -> m.SellerEntryPage:
    """List a page of a seller's ledger entries, newest first."""
    query = sa.select(EntryRow).where(EntryRow.customer == question.customer.token)
    if question.currency is not None:
        query = query.where(EntryRow.currency == question.currency)
    if question.kind is not None:
        query = query.where(EntryRow.kind == question.kind)
    if question.cursor is not None:
        query = query.where(EntryRow.entry_id < decode_cursor(question.cursor, 1)[0])
    query = query.order_by(EntryRow.entry_id.desc()).limit(question.limit + 1)
    rows = (await work.session.scalars(query)).all()
    page = rows[: question.limit]
    more = encode_cursor(page[-1].entry_id) if len(rows) > len(page) else None
    return m.SellerEntryPage(items=[entry_snapshot(row) for row in page], next_cursor=more)
