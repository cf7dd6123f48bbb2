"""Writing of changed balances, with an automatic recharge of those that fall below their threshold."""

from services.consumables.ledger.repository import LedgerBatch
from services.consumables.ledger.writer import write
from services.consumables.recharges.purchase import recharge_low_balances
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import GrantSnapshot


async def write_and_recharge(
    work: UnitOfWork, batch: LedgerBatch, *, revoked: GrantSnapshot | None = None
) -> None:
    """Write the changed balances, and recharge those below the threshold of their auto-recharge."""
    await write(work, batch, revoked=revoked)
    low = [
        (balance.account, balance.feature)
        for balance in batch.balances.values()
        if balance.threshold is not None and balance.remaining < balance.threshold
    ]
    if low:
        # The auto-recharge queries the balances, so they are written first.
        await work.run(*work.deferred)
        work.deferred.clear()
        await recharge_low_balances(work, low)
