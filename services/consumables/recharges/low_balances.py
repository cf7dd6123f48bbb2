"""Writing balances with automatic recharges: units are bought in the transaction that finds a balance low."""

from services.consumables.ledger.repository import LedgerBatch
from services.consumables.ledger.writer import write
from services.consumables.recharges.purchase import units_are_low
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import GrantSnapshot


async def write_and_recharge(
    work: UnitOfWork, batch: LedgerBatch, *, revoked: GrantSnapshot | None = None
) -> None:
    """Write the balances that changed, and buy units where less remains than an auto-recharge's threshold."""
    await write(work, batch, revoked=revoked)
    low = [
        (balance.account, balance.feature)
        for balance in batch.balances.values()
        if balance.threshold is not None and balance.remaining < balance.threshold
    ]
    if low:
        # The rules look at the balances as they are now.
        await work.run(*work.deferred)
        work.deferred.clear()
        await units_are_low(work, low)
