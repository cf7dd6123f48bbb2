"""Writing of changed balances, with an automatic recharge of those that fall below their threshold."""

from collections.abc import Sequence

from services.consumables.domain.balance import Balance
from services.consumables.ledger.repository import LedgerBatch
from services.consumables.ledger.writer import write
from services.consumables.recharges.purchase import recharge_low_balances
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import GrantSnapshot

SELECT_COMING = """
    SELECT DISTINCT account, feature FROM consumables.allotments
    WHERE account = ANY(%s) AND next_at IS NOT NULL AND NOT closed
"""


async def write_and_recharge(
    work: UnitOfWork, batch: LedgerBatch, *, revoked: GrantSnapshot | None = None
) -> None:
    """Write the changed balances, and recharge those below the threshold of their auto-recharge.

    Units that have expired do not make a balance low if others will follow in a new cycle.
    """
    expired = [balance for balance in batch.balances.values() if balance.expired_by_time]
    for balance in await renewing_balances(work, expired):
        balance.remaining_before -= balance.expired_by_time
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


async def renewing_balances(work: UnitOfWork, balances: Sequence[Balance]) -> list[Balance]:
    """Return those of some balances whose allotments will be granted again."""
    if not balances:
        return []
    cursor = await work.driver.execute(SELECT_COMING, ([balance.account for balance in balances],))
    coming = {(row[0], row[1]) for row in await cursor.fetchall()}
    return [balance for balance in balances if (balance.account, balance.feature) in coming]
