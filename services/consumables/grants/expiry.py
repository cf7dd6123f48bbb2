"""Ending of grants before their units are used: those of ended accounts, and expired ones."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.consumables.domain.balance import end_grants
from services.consumables.ledger.repository import load
from services.consumables.ledger.writer import write
from services.consumables.recharges.low_balances import renewing_balances, write_and_recharge
from services.consumables.service import service
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

EXPIRED_AT_ONCE = 1_000
"""Grants ended in one transaction; larger batches are no faster and block consumption for longer."""

SELECT_OF_ACCOUNTS = """
    SELECT grant_id, account, feature FROM consumables.grants
    WHERE account = ANY(%s) AND (ended_at IS NULL OR remaining > 0)
"""
SELECT_EXPIRED = """
    SELECT grant_id, account, feature FROM consumables.grants
    WHERE open AND expires_at <= %s AND ended_at IS NULL ORDER BY expires_at LIMIT %s
"""
CLOSE_ALLOTMENTS = """
    UPDATE consumables.allotments SET closed = true, next_at = NULL WHERE account = ANY(%s) AND NOT closed
"""


async def end_accounts(work: UnitOfWork, accounts: Sequence[str]) -> None:
    """End all grants of accounts whose seat was revoked, and close their allotments."""
    await work.driver.execute(CLOSE_ALLOTMENTS, (list(accounts),))
    cursor = await work.driver.execute(SELECT_OF_ACCOUNTS, (list(accounts),))
    await _end_grants(work, await cursor.fetchall())


@service.job("expire_grants")
async def expire_grants(transactions: Transactions, at: datetime) -> None:
    """End every grant that has expired; until then commands already treat it as ended.

    Balances that are about to be granted a new cycle do not become low and are not recharged.
    """
    cause = tick_cause("consumables", "expire_grants", at)
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            cursor = await work.driver.execute(SELECT_EXPIRED, (at, EXPIRED_AT_ONCE))
            found = await cursor.fetchall()
            batch = await load(work, named=[(account, feature) for _, account, feature in found])
            for balance in await renewing_balances(work, list(batch.balances.values())):
                balance.threshold = None
            await write_and_recharge(work, batch)
        if len(found) < EXPIRED_AT_ONCE:
            return


async def _end_grants(work: UnitOfWork, found: Iterable[tuple[str, str, str]]) -> None:
    """End grants given by id, account and feature; of limits, all units in use become excess."""
    grants = list(found)
    if not grants:
        return
    batch = await load(
        work,
        named=[(account, feature) for _, account, feature in grants],
        grant_ids=[grant_id for grant_id, _, _ in grants],
    )
    end_grants(batch.grants[grant_id] for grant_id, _, _ in grants)
    for balance in batch.balances.values():
        if balance.kind == "limit":
            balance.excess, balance.is_changed = balance.consumed + balance.reserved, True
    await write(work, batch, emit_levels=False)
