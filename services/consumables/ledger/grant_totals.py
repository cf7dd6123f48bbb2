"""What a balance's grants give in total now, used up or not: the whole that a usage meter is a part of."""

from collections.abc import Iterable, Sequence

import orjson

from services.consumables.domain.balance import Balance
from shared.persistence.unit_of_work import UnitOfWork

SELECT_USED_UP = """
    WITH key AS (
        SELECT account, feature, coalesce(since, '-infinity') AS since
        FROM jsonb_to_recordset(%(keys)s::jsonb) AS key (account text, feature text)
        LEFT JOIN LATERAL (
            SELECT max(cycle_start) AS since FROM consumables.allotments
            WHERE allotments.account = key.account AND allotments.feature = key.feature
              AND NOT closed AND cycle_start <= %(now)s
        ) AS cycle ON true
    )
    SELECT account, feature, sum(quantity - expired)::bigint FROM (
        SELECT account, feature, quantity, expired FROM key JOIN consumables.grants USING (account, feature)
        WHERE NOT open AND ended_at IS NULL AND quantity IS NOT NULL AND expires_at > %(now)s
          AND grant_id <> ALL(%(counted)s)
        UNION ALL
        SELECT account, feature, quantity, expired FROM key JOIN consumables.grants USING (account, feature)
        WHERE NOT open AND ended_at IS NULL AND quantity IS NOT NULL AND expires_at IS NULL
          AND grant_id <> ALL(%(counted)s) AND created_at >= since
    ) AS used_up GROUP BY account, feature
"""
"""Sums the grants that are used up and have not ended. One that never expires counts in the cycle in which it
was made, or always if the account has no cycles."""


async def grant_totals(work: UnitOfWork, balances: Sequence[Balance]) -> dict[tuple[str, str], int | None]:
    """Return the units of each balance's grants that count now; None: unlimited.

    A limit's total is its ceiling. A consumable's are the grants with units left, and those that are used up
    but have not ended. What was taken back does not count.
    """
    used_up = await _used_up(work, balances) if balances else {}
    return {
        (balance.account, balance.feature): _total(
            balance, used_up.get((balance.account, balance.feature), 0)
        )
        for balance in balances
    }


def _total(balance: Balance, used_up: int) -> int | None:
    if balance.unlimited:
        return None
    if balance.kind == "limit":
        return balance.consumed + balance.reserved + balance.remaining - balance.excess
    loaded = [grant for grant in balance.grants if grant.quantity is not None and not grant.has_ended]
    return used_up + sum((grant.quantity or 0) - grant.expired for grant in loaded)


async def _used_up(work: UnitOfWork, balances: Iterable[Balance]) -> dict[tuple[str, str], int]:
    """Sum the used-up grants of each balance that have not ended and are not loaded."""
    keys = [{"account": balance.account, "feature": balance.feature} for balance in balances]
    counted = [grant.grant_id for balance in balances for grant in balance.grants]
    values = {"keys": orjson.dumps(keys).decode(), "counted": counted, "now": work.now}
    rows = await (await work.driver.execute(SELECT_USED_UP, values)).fetchall()
    return {(account, feature): quantity for account, feature, quantity in rows}
