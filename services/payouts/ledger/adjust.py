"""Corrections of a seller's balance by hand."""

from services.payouts.domain.seller_ledger import available_movement
from services.payouts.ledger.snapshots import entry_snapshot
from services.payouts.ledger.writer import open_ledger
from services.payouts.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m


@service.command(m.AdjustSellerBalance)
async def adjust_seller_balance(work: UnitOfWork, command: m.AdjustSellerBalance) -> m.EntryFound:
    """Add to what is available to a seller, or take from it, below zero if need be."""
    key = (command.customer.token, command.amount.currency)
    ledger = await open_ledger(work, [key])
    movement = available_movement("adjusted", command.amount.amount)
    entry = ledger.write(key, movement, reason=command.reason)
    assert entry is not None
    ledger.emit()
    return m.EntryFound(entry=entry_snapshot(entry))
