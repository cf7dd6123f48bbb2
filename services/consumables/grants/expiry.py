"""Ending units before they are used: those of a revoked seat, and those whose time is over."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from services.consumables.ledger.bulk_writer import Books, Held
from services.consumables.ledger.locked_balances import Standing
from services.consumables.ledger.repository import Loaded, load
from services.consumables.ledger.writer import write
from services.consumables.service import service
from shared.persistence.unit_of_work import Transactions, UnitOfWork

EXPIRED_AT_ONCE = 1_000
"""Grants ended in one transaction: past this nothing gets cheaper, and who uses the same units would wait."""

SELECT_OF_ACCOUNTS = """
    SELECT grant_id, account, feature FROM consumables.grants
    WHERE account = ANY(%s) AND (ended_at IS NULL OR remaining > 0)
"""
SELECT_EXPIRED = """
    SELECT grant_id, account, feature FROM consumables.grants
    WHERE open AND expires_at <= %s AND ended_at IS NULL ORDER BY expires_at LIMIT %s
"""
SELECT_COMING = """
    SELECT account, feature FROM consumables.allotments WHERE account = ANY(%s) AND next_at IS NOT NULL
"""
CLOSE_ALLOTMENTS = """
    UPDATE consumables.allotments SET closed = true, next_at = NULL WHERE account = ANY(%s) AND NOT closed
"""


async def end_accounts(work: UnitOfWork, accounts: Sequence[str]) -> None:
    """Take all units from accounts that nobody holds any more; none come to them again."""
    await work.driver.execute(CLOSE_ALLOTMENTS, (list(accounts),))
    cursor = await work.driver.execute(SELECT_OF_ACCOUNTS, (list(accounts),))
    await _end(work, await cursor.fetchall())


@service.job("expire_grants")
async def expire_grants(transactions: Transactions, at: datetime) -> None:
    """End every grant whose time is over by then; whoever uses units meanwhile goes by the clock.

    Where units come anew a moment later, what lapses before that neither runs low nor is bought again.
    """
    cause = f"consumables.expire_grants {at.isoformat().replace('+00:00', 'Z')}"
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            cursor = await work.driver.execute(SELECT_EXPIRED, (at, EXPIRED_AT_ONCE))
            found = await cursor.fetchall()
            loaded = await load(work, named=[(account, feature) for _, account, feature in found])
            for key in await _coming_anew(work, loaded):
                pool = loaded.pools[key]
                pool.remaining_before, pool.threshold = pool.remaining, None
            await write(work, loaded)
        if len(found) < EXPIRED_AT_ONCE:
            return


async def _coming_anew(work: UnitOfWork, loaded: Loaded) -> list[tuple[str, str]]:
    """Which of the balances have units coming on a rhythm."""
    cursor = await work.driver.execute(SELECT_COMING, ([account for account, _ in loaded.pools],))
    return [(row[0], row[1]) for row in await cursor.fetchall() if (row[0], row[1]) in loaded.pools]


async def _end(work: UnitOfWork, found: Iterable[tuple[str, str, str]]) -> list[Standing]:
    grants = list(found)
    if not grants:
        return []
    books = await Books.of(work, {(account, feature) for _, account, feature in grants})
    by_balance: dict[tuple[str, str], list[Held]] = defaultdict(list)
    # Read again, now that nobody else can change them.
    for grant in (await books.held([grant_id for grant_id, _, _ in grants])).values():
        by_balance[grant.account, grant.feature].append(grant)
    for (account, feature), of_balance in by_balance.items():
        books.end(of_balance)
        standing = books.standings[account, feature]
        if standing.kind == "limit":
            books.set_excess(account, feature, standing.consumed + standing.reserved)
    return await books.close()
