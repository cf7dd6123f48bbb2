"""Ceilings on what exists now: moved up and down without losing track of what is in use.

What is in use above a lowered ceiling is the balance's `excess`: nobody loses it, nobody gets more, and what
is released goes into it first. At every moment granted = in use + expired + remaining, as for all units.

Beside what is unlimited the rest of a ceiling moves all the same: it is what counts when that ends.
"""

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.grant_cycles import ONCE
from services.consumables.domain.limit_ceiling import Ceiling, moved_to
from services.consumables.grants.allotments import After, Allotment, key_of, source_of
from services.consumables.ledger.bulk_writer import Books, Given, Held

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
SELECT_OPEN = """
    SELECT grant_id, account, feature, quantity, consumed + reserved, remaining, expired, revoked,
           ended_at IS NOT NULL
    FROM consumables.grants WHERE account = ANY(%s) AND open ORDER BY created_at DESC, grant_id
"""


@dataclass(frozen=True, slots=True)
class _Around:
    """What the ceiling of a balance consists of beside the allotments that are settled."""

    ceiling: int
    open: list[Held]

    def without_bound(self, ended: Container[str]) -> int:
        """What is in use of unlimited grants, but for those that were just ended."""
        unlimited = [grant for grant in self.open if grant.quantity is None and grant.grant_id not in ended]
        return sum(grant.in_use for grant in unlimited)


async def settle_limits(
    books: Books, held: dict[str, Held], rows: Sequence[Allotment]
) -> list[tuple[Allotment, After]]:
    """Give each account the ceiling that its allotments add up to."""
    by_balance: dict[tuple[str, str], list[Allotment]] = defaultdict(list)
    for row in rows:
        by_balance[row.account, row.feature].append(row)
    around = await _around(books, rows)
    results = []
    for key, of_balance in by_balance.items():
        results += _settle(books, held, around[key], of_balance)
    return results


def _settle(
    books: Books, held: dict[str, Held], around: _Around, rows: list[Allotment]
) -> list[tuple[Allotment, After]]:
    account, feature = rows[0].account, rows[0].feature
    shares = [0 if row.ended_at is not None else row.wanted for row in rows]
    grant_ids = [list(row.grant_ids) for row in rows]
    for row, share, its_own in zip(rows, shares, grant_ids, strict=True):
        unlimited = [held[one] for one in its_own if held[one].quantity is None]
        if share is not None:
            books.end(unlimited)
        elif all(grant.has_ended for grant in unlimited):
            its_own += _give(books, row, None, len(its_own))
    standing = books.standings[account, feature]
    ceiling = Ceiling(around.ceiling).plus(shares)
    in_use = standing.consumed + standing.reserved - around.without_bound(books.ended)
    move = moved_to(ceiling, in_use, standing.remaining)
    if move.excess != standing.excess:
        books.set_excess(account, feature, move.excess)
    books.lapse(around.open, move.lapsing)
    if move.more:
        grant_ids[-1] += _give(books, rows[-1], move.more, len(grant_ids[-1]))
    return [
        (row, After(ONCE, share, its_own, None, closed=row.ended_at is not None))
        for row, share, its_own in zip(rows, shares, grant_ids, strict=True)
    ]


def _give(books: Books, row: Allotment, quantity: int | None, number: int) -> list[str]:
    given = Given(quantity, None, PLAN_PRIORITY, source_of(row), key_of(row, ONCE, number))
    return books.give(row.account, row.feature, [given])


async def _around(books: Books, rows: Sequence[Allotment]) -> dict[tuple[str, str], _Around]:
    accounts = sorted({row.account for row in rows})
    these = [f"{row.subscription_id}/{row.slot}/{row.account}" for row in rows]
    driver = books.work.driver
    cursor = await driver.execute(SELECT_OTHERS, {"accounts": accounts, "these": these})
    ceilings = {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
    cursor = await driver.execute(SELECT_OPEN, (accounts,))
    open_grants: dict[tuple[str, str], list[Held]] = defaultdict(list)
    for grant in map(Held._make, await cursor.fetchall()):
        open_grants[grant.account, grant.feature].append(grant)
    keys = {(row.account, row.feature) for row in rows}
    return {key: _Around(ceilings.get(key, 0), open_grants[key]) for key in keys}
