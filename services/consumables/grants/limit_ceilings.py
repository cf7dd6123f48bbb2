"""Ceilings on what exists now: moved up and down without losing track of what is in use.

What is in use above a lowered ceiling is the balance's `excess`: nobody loses it, nobody gets more, and what
is released goes into it first. At every moment granted = in use + expired + remaining, as for all units.

Beside what is unlimited the rest of a ceiling moves all the same: it is what counts when that ends.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.balance import Balance, Grant, NewGrant, close, lapse
from services.consumables.domain.grant_cycles import ONCE
from services.consumables.domain.limit_ceiling import Ceiling, moved_to
from services.consumables.grants.allotments import After, Allotment, key_of, source_of
from services.consumables.ledger.repository import LedgerBatch
from shared.ids import new_id

SELECT_OTHERS = """
    SELECT account, feature, coalesce(sum(quantity), 0)::bigint
    FROM (
        SELECT account, allotments.feature, allotments.granted AS quantity
        FROM consumables.allotments JOIN consumables.terms USING (subscription_id, slot)
        WHERE account = ANY(%(accounts)s) AND kind = 'limit' AND cycle_number IS NOT NULL AND NOT closed
          AND (subscription_id || '/' || slot || '/' || account) <> ALL(%(these)s)
        UNION ALL
        SELECT account, feature, quantity
        FROM consumables.grants
        WHERE account = ANY(%(accounts)s) AND ended_at IS NULL AND source ->> 'kind' <> 'subscription'
          AND starts_with(key, 'override.') IS NOT TRUE
    ) AS others GROUP BY account, feature
"""
"""What else gives accounts a ceiling: other subscriptions and overrides, and what was granted by hand."""


async def settle_limits(batch: LedgerBatch, rows: Sequence[Allotment]) -> list[tuple[Allotment, After]]:
    """Give each account the ceiling that its allotments add up to."""
    by_balance: dict[tuple[str, str], list[Allotment]] = defaultdict(list)
    for row in rows:
        by_balance[row.account, row.feature].append(row)
    others = await _other_ceilings(batch, rows)
    results = []
    for key, of_balance in by_balance.items():
        results += _settle(batch, others.get(key, 0), of_balance)
    return results


def _settle(batch: LedgerBatch, others: int, rows: list[Allotment]) -> list[tuple[Allotment, After]]:
    balance = batch.balances[rows[0].account, rows[0].feature]
    before = [grant for grant in balance.grants if grant.is_open]
    shares = [0 if row.ended_at is not None else row.wanted for row in rows]
    grant_ids = [list(row.grant_ids) for row in rows]
    for row, share, its_own in zip(rows, shares, grant_ids, strict=True):
        unlimited = [batch.grants[one] for one in its_own if batch.grants[one].quantity is None]
        if share is not None:
            close(unlimited)
        elif all(grant.has_ended for grant in unlimited):
            its_own += _give(batch, balance, row, None, len(its_own))
    ceiling = Ceiling(others).plus(shares)
    in_use = balance.consumed + balance.reserved - _in_use_of_unlimited(balance)
    change = moved_to(ceiling, in_use, balance.remaining)
    if change.excess != balance.excess:
        balance.excess, balance.is_changed = change.excess, True
    lapse(sorted(before, key=_newest_first), change.lapsing)
    if change.more:
        grant_ids[-1] += _give(batch, balance, rows[-1], change.more, len(grant_ids[-1]))
    return [
        (row, After(ONCE, share, its_own, None, closed=row.ended_at is not None))
        for row, share, its_own in zip(rows, shares, grant_ids, strict=True)
    ]


def _in_use_of_unlimited(balance: Balance) -> int:
    unlimited = [grant for grant in balance.grants if grant.quantity is None and not grant.has_ended]
    return sum(grant.in_use for grant in unlimited)


def _newest_first(grant: Grant) -> tuple[float, str]:
    return (-grant.created_at.timestamp(), grant.grant_id)


def _give(
    batch: LedgerBatch, balance: Balance, row: Allotment, quantity: int | None, number: int
) -> list[str]:
    source, key = source_of(row), key_of(row, ONCE, number)
    return batch.give(balance, [NewGrant(new_id("grant"), quantity, None, PLAN_PRIORITY, source, key)])


async def _other_ceilings(batch: LedgerBatch, rows: Sequence[Allotment]) -> dict[tuple[str, str], int]:
    """What else gives these accounts a ceiling."""
    accounts = sorted({row.account for row in rows})
    these = [f"{row.subscription_id}/{row.slot}/{row.account}" for row in rows]
    values: dict[str, Any] = {"accounts": accounts, "these": these}
    cursor = await batch.encoder.work.driver.execute(SELECT_OTHERS, values)
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
