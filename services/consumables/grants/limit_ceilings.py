"""Ceilings of limits: raising and lowering them without taking away units in use.

Units in use above a lowered ceiling are the balance's `excess`. They stay in use, no more units can be drawn,
and released units reduce the excess first. As for all units, granted = in use + expired + remaining.

While a grant is unlimited, the rest of the ceiling is maintained as well and applies once that grant ends.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.balance import (
    Balance,
    Grant,
    NewGrant,
    end_grants,
    expire_units,
    newest_first,
)
from services.consumables.domain.grant_cycles import ONCE
from services.consumables.domain.limit_ceiling import Ceiling, ceiling_change
from services.consumables.grants.allotments import Allotment, AllotmentUpdate, grant_key, grant_source
from services.consumables.ledger.repository import LedgerBatch
from shared.ids import new_id

SELECT_OTHERS = """
    SELECT account, feature, coalesce(sum(quantity), 0)::bigint
    FROM (
        SELECT account, allotments.feature, allotments.granted AS quantity
        FROM consumables.allotments JOIN consumables.terms USING (subscription_id, slot)
        JOIN consumables.known_subscriptions USING (subscription_id)
        WHERE account = ANY(%(accounts)s) AND kind = 'limit' AND cycle_number IS NOT NULL AND NOT closed
          -- What is over gives nothing, told or not.
          AND (status <> 'override' OR period_end > %(now)s)
          AND (ends_at IS NULL OR ends_at > %(now)s)
          AND (subscription_id || '/' || slot || '/' || account) <> ALL(%(these)s)
        UNION ALL
        SELECT account, feature, quantity
        FROM consumables.grants
        WHERE account = ANY(%(accounts)s) AND ended_at IS NULL AND source ->> 'kind' <> 'subscription'
          AND starts_with(key, 'override.') IS NOT TRUE AND (expires_at IS NULL OR expires_at > %(now)s)
    ) AS others GROUP BY account, feature
"""
"""The shares of the accounts' ceilings from other allotments and from grants made by hand."""


async def set_ceilings(
    batch: LedgerBatch, rows: Sequence[Allotment]
) -> list[tuple[Allotment, AllotmentUpdate]]:
    """Set the ceiling of each balance to the sum of its allotments and other shares."""
    by_balance: dict[tuple[str, str], list[Allotment]] = defaultdict(list)
    for row in rows:
        by_balance[row.account, row.feature].append(row)
    others = await _other_ceilings(batch, rows)
    results = []
    for key, of_balance in by_balance.items():
        results += _set_ceiling(batch, others.get(key, 0), of_balance)
    return results


def _set_ceiling(
    batch: LedgerBatch, others: int, rows: list[Allotment]
) -> list[tuple[Allotment, AllotmentUpdate]]:
    balance = batch.balances[rows[0].account, rows[0].feature]
    open_before = [grant for grant in balance.grants if grant.is_open]
    shares = [0 if row.ended_at is not None else row.cycle_quantity for row in rows]
    grant_ids = [list(row.grant_ids) for row in rows]
    with_end: list[Grant] = []
    for row, share, row_grant_ids in zip(rows, shares, grant_ids, strict=True):
        added = _add_separate_grant(batch, balance, row, share)
        row_grant_ids += added
        with_end += [batch.grants[grant_id] for grant_id in added]
    ceiling = Ceiling(others).plus(shares)
    in_use = balance.consumed + balance.reserved - _in_use_of_unlimited(balance)
    change = ceiling_change(ceiling, in_use, balance.remaining)
    if change.excess != balance.excess:
        balance.excess, balance.is_changed = change.excess, True
    expire_units([*sorted(open_before, key=newest_first), *with_end], change.expiring)
    if change.more:
        grant_ids[-1] += _add_grant(batch, balance, rows[-1], change.more, len(grant_ids[-1]))
    return [
        (row, AllotmentUpdate(ONCE, share, row_grant_ids, None, closed=row.ended_at is not None))
        for row, share, row_grant_ids in zip(rows, shares, grant_ids, strict=True)
    ]


def _add_separate_grant(batch: LedgerBatch, balance: Balance, row: Allotment, share: int | None) -> list[str]:
    """Give a row a grant of its own if it is unlimited or has an end; end the one that it had before.

    All other rows together have grants that add up to the sum of their shares.
    """
    grants = [batch.grants[grant_id] for grant_id in row.grant_ids]
    before = [
        grant
        for grant in grants
        if not grant.has_ended and (grant.quantity is None or grant.expires_at is not None)
    ]
    has_own = share is None or (row.until is not None and share > 0)
    wanted = [(share, row.until)] if has_own else []
    if [(grant.quantity, grant.expires_at) for grant in before] == wanted:
        return []
    end_grants(before)
    return _add_grant(batch, balance, row, share, len(row.grant_ids), row.until) if has_own else []


def _in_use_of_unlimited(balance: Balance) -> int:
    unlimited = [grant for grant in balance.grants if grant.quantity is None and not grant.has_ended]
    return sum(grant.in_use for grant in unlimited)


def _add_grant(
    batch: LedgerBatch,
    balance: Balance,
    row: Allotment,
    quantity: int | None,
    number: int,
    until: datetime | None = None,
) -> list[str]:
    source, key = grant_source(row), grant_key(row, ONCE, number)
    return batch.add_grants(balance, [NewGrant(new_id("grant"), quantity, until, PLAN_PRIORITY, source, key)])


async def _other_ceilings(batch: LedgerBatch, rows: Sequence[Allotment]) -> dict[tuple[str, str], int]:
    """Return the shares of other allotments and grants by account and feature."""
    accounts = sorted({row.account for row in rows})
    these = [f"{row.subscription_id}/{row.slot}/{row.account}" for row in rows]
    values: dict[str, Any] = {"accounts": accounts, "these": these, "now": batch.encoder.work.now}
    cursor = await batch.encoder.work.driver.execute(SELECT_OTHERS, values)
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
