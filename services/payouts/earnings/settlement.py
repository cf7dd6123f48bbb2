"""Settling the shares of an invoice: books the difference between what is owed now and what was booked.

The rule looks at the state of the invoice, not at the event that led to it. Repeated and reordered events
therefore book nothing twice. The invoice's row is locked first, then the balances, then the shares.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.payouts.domain.seller_ledger import Movement, Share
from services.payouts.domain.shares import Payback, owed_fee, owed_share
from services.payouts.ledger.shares import share_of, write_share
from services.payouts.ledger.writer import Key, OpenLedger, open_ledger
from services.payouts.tables.ledger import InvoiceRow, ShareRow
from shared.persistence.unit_of_work import UnitOfWork

ShareKey = tuple[str, str, int]
"""A share of an invoice: product, seller and percent."""


async def lock_invoice(work: UnitOfWork, invoice_id: str, *, create: bool) -> InvoiceRow | None:
    """Lock an invoice's row; None if there is none and it is not to be created."""
    if create:
        statement = insert(InvoiceRow).values(invoice_id=invoice_id).on_conflict_do_nothing()
        await work.session.execute(statement)
    return await work.session.get(InvoiceRow, invoice_id, with_for_update=True, populate_existing=True)


async def settle_invoice(
    work: UnitOfWork, invoice: InvoiceRow, fees: Mapping[ShareKey, int] | None = None
) -> int:
    """Book what has changed about an invoice's shares; return the number of entries.

    `fees` are charged on the shares named, once, when the sale is recorded.
    """
    if invoice.total is None:
        return 0
    sellers = sa.select(ShareRow.customer, ShareRow.currency).where(ShareRow.invoice_id == invoice.invoice_id)
    keys: Sequence[Key] = [(row[0], row[1]) for row in await work.session.execute(sellers)]
    ledger = await open_ledger(work, keys)
    query = sa.select(ShareRow).where(ShareRow.invoice_id == invoice.invoice_id)
    rows = await work.session.scalars(
        query.order_by(ShareRow.product, ShareRow.customer).execution_options(populate_existing=True)
    )
    entries = 0
    for row in rows.all():
        entries += _settle_share(ledger, invoice, row, (fees or {}).get(_key(row), 0))
    ledger.emit()
    return entries


def payback_of(invoice: InvoiceRow) -> Payback:
    """Return what the buyer got back; what is disputed and not decided is not lost yet."""
    return Payback(
        total=invoice.total or 0, refunded=invoice.refunded, lost=min(invoice.lost, invoice.disputed)
    )


def is_dispute_open(invoice: InvoiceRow) -> bool:
    """Whether money is disputed that was not decided upon when the newest dispute was closed."""
    return invoice.disputed > 0 and invoice.closed_version <= invoice.opened_version


def _settle_share(ledger: OpenLedger, invoice: InvoiceRow, row: ShareRow, fee: int) -> int:
    key, share = (row.customer, row.currency), share_of(row)
    about = {"invoice_id": row.invoice_id, "product": row.product, "share_percent": row.share_percent}
    is_open, now = is_dispute_open(invoice), ledger.work.now
    if share.frozen and not is_open:
        share.frozen = False
    owed = owed_share(row.net, row.share_percent, payback_of(invoice))
    earned = share.settle(owed, now)
    charged = share.charge(owed_fee(fee, owed))
    entries = [
        ledger.write(key, movement, available_at=row.available_at, **about) for movement in (earned, charged)
    ]
    ledger.write(key, _hold(share, ledger, key, is_open=is_open), **about)
    write_share(row, share)
    return sum(entry is not None for entry in entries)


def _hold(share: Share, ledger: OpenLedger, key: Key, *, is_open: bool) -> Movement | None:
    """Hold the share while a dispute is open, and release it afterwards if its time has come."""
    if is_open:
        return share.freeze(ledger.balance(key).available) if not share.frozen else None
    return share.release(ledger.work.now)


def _key(row: ShareRow) -> ShareKey:
    return row.product, row.customer, row.share_percent
