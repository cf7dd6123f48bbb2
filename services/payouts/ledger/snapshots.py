"""Conversion of the ledger's rows to the snapshots of messages."""

from services.payouts.tables.ledger import BalanceRow, EntryRow
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money


def balance_values(row: BalanceRow) -> dict[str, int | str]:
    """Return the fields that answers and events of a balance have in common."""
    sums = ("pending", "available", "paid_out", "earned", "fee", "reversed", "adjusted", "returned")
    values: dict[str, int | str] = {name: getattr(row, name) for name in sums}
    return values | {"currency": row.currency, "owed": row.pending + row.available}


def balance_snapshot(row: BalanceRow) -> m.SellerBalanceSnapshot:
    """Build the snapshot of a balance."""
    return m.SellerBalanceSnapshot.model_validate(
        {
            "seller_balance_id": f"{row.customer}.{row.currency}",
            "version": row.version,
            "customer": Customer.from_token(row.customer),
            **balance_values(row),
        }
    )


def entry_snapshot(row: EntryRow) -> m.SellerEntrySnapshot:
    """Build the snapshot of a ledger entry."""
    return m.SellerEntrySnapshot(
        entry_id=row.entry_id,
        customer=Customer.from_token(row.customer),
        kind=row.kind,  # type: ignore[arg-type] # a constraint of the table
        amount=Money(amount=row.amount, currency=row.currency),
        pending_change=row.pending_change,
        available_change=row.available_change,
        invoice_id=row.invoice_id,
        product=row.product,
        share_percent=row.share_percent,
        payout_id=row.payout_id,
        available_at=row.available_at,
        reason=row.reason,
        caused_by=row.caused_by,
        occurred_at=row.occurred_at,
    )
