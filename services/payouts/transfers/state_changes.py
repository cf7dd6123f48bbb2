"""State changes of payouts with their events; no other module writes these events.

The caller has locked the payout's row. Money that comes back is booked here, so that a payout's state and the
seller's balance never differ.
"""

from services.payouts.domain.seller_ledger import available_movement
from services.payouts.ledger.writer import open_ledger
from services.payouts.tables.payouts import PayoutRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money


def payout_snapshot(row: PayoutRow) -> m.PayoutSnapshot:
    """Build the snapshot of a payout for results, events and answers."""
    return m.PayoutSnapshot(
        payout_id=row.payout_id,
        version=row.version,
        customer=Customer.from_token(row.customer),
        payout_account_id=row.payout_account_id,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        amount=Money(amount=row.amount, currency=row.currency),
        amount_reversed=row.amount_reversed,
        reference=row.reference,
        stripe_transfer_id=row.stripe_transfer_id,
        failure=m.PayoutFailure.model_validate(row.failure) if row.failure else None,
        created_at=row.created_at,
        settled_at=row.settled_at,
    )


def emit_payout(work: UnitOfWork, row: PayoutRow, event: str) -> None:
    """Increment a payout's version and emit an event with its snapshot."""
    row.version += 1
    work.emit(
        m.PayoutEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        payout=payout_snapshot(row),
    )


def mark_paid(work: UnitOfWork, row: PayoutRow, stripe_transfer_id: str) -> None:
    """Record that the transfer was made; repeating it changes nothing."""
    if row.status != "pending":
        return
    row.status, row.stripe_transfer_id, row.settled_at = "paid", stripe_transfer_id, work.now
    emit_payout(work, row, "paid")


async def mark_failed(work: UnitOfWork, row: PayoutRow, failure: m.PayoutFailure) -> None:
    """Record that Stripe refused the transfer, and return the amount."""
    if row.status != "pending":
        return
    row.status, row.failure, row.settled_at = "failed", failure.model_dump(), work.now
    await _return(work, row, row.amount)
    emit_payout(work, row, "failed")


async def mark_reversed(work: UnitOfWork, row: PayoutRow, amount_reversed: int) -> None:
    """Record how much of a transfer was taken back in all, and return what was not returned yet."""
    difference = min(amount_reversed, row.amount) - row.amount_reversed
    if row.status != "paid" or difference <= 0:
        return
    row.amount_reversed += difference
    if row.amount_reversed == row.amount:
        row.status = "reversed"
    await _return(work, row, difference)
    emit_payout(work, row, "reversed")


async def _return(work: UnitOfWork, row: PayoutRow, amount: int) -> None:
    key = (row.customer, row.currency)
    ledger = await open_ledger(work, [key])
    ledger.write(key, available_movement("returned", amount), payout_id=row.payout_id)
    ledger.emit()
