"""Balances that commands draw on, found, locked and loaded, very many at a time.

Two readings for a whole group of commands: the first finds and locks the balances in their one order, the
second reads their grants, which nobody else can change any more. Each has one JSON parameter; arrays would
cost the worker eight times as much.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from services.consumables.domain.units import Pool, Stock, burn_order
from shared.work import Work

_BALANCE = """
    balances.account, feature, balances.kind, accounts.customer, accounts.suspended, balances.version,
    granted, beyond, consumed, reserved, expired, remaining, unlimited, excess, last_granted, threshold
"""
_REACHED = """
    WITH wish AS (
        SELECT DISTINCT consumer, feature, account
        FROM jsonb_to_recordset(%s::jsonb) AS wish (consumer text, feature text, account text)
    ), reach AS (
        SELECT consumer, feature, account AS named, 'customer:' || consumer AS account FROM wish
        WHERE account IS NULL OR account = 'customer:' || consumer
        UNION ALL
        SELECT wish.consumer, feature, wish.account, access.account
        FROM wish JOIN consumables.access
            ON access.consumer = wish.consumer AND (wish.account IS NULL OR access.account = wish.account)
    )
"""
LOCK_REACHED = f"""{_REACHED}
    SELECT reach.consumer, reach.named, {_BALANCE}
    FROM reach JOIN consumables.balances USING (account, feature) JOIN consumables.accounts USING (account)
    ORDER BY account, feature FOR UPDATE OF balances
"""  # noqa: S608 - our own names
READ_REACHED = LOCK_REACHED.replace("FOR UPDATE OF balances", "")
LOCK_NAMED = f"""
    SELECT {_BALANCE} FROM jsonb_to_recordset(%s::jsonb) AS wanted (account text, feature text)
    JOIN consumables.balances USING (account, feature) JOIN consumables.accounts USING (account)
    ORDER BY account, feature FOR UPDATE OF balances
"""  # noqa: S608 - our own names
READ_NAMED = LOCK_NAMED.replace("FOR UPDATE OF balances", "")
_STOCK = """
    grant_id, quantity, consumed, reserved, expired, remaining, expires_at, priority, created_at, version,
    ended_at IS NOT NULL, revoked
"""
SELECT_OPEN_GRANTS = f"""
    SELECT account, feature, {_STOCK} FROM jsonb_to_recordset(%s::jsonb) AS of (account text, feature text)
    JOIN consumables.grants USING (account, feature) WHERE open
"""  # noqa: S608 - our own names
SELECT_USED_GRANTS = SELECT_OPEN_GRANTS.replace("WHERE open", "WHERE open OR grants.consumed > 0")
SELECT_THESE_GRANTS = SELECT_OPEN_GRANTS.replace(
    "WHERE open", "WHERE open OR grant_id IN (SELECT jsonb_array_elements_text(%s::jsonb))"
)


class Wanted(NamedTuple):
    """Who wants units of what, and from which account if that was said."""

    consumer: str
    feature: str
    account: str | None


class Reach(NamedTuple):
    """What somebody may draw on; without what is suspended."""

    pools: Sequence[Pool]
    stocks: Sequence[Stock]
    """All their grants, in the order in which they are drawn on."""
    is_suspended: bool
    """There is something, and all of it is suspended."""


@dataclass(slots=True)
class Loaded:
    """Locked balances with their grants."""

    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    reach: dict[Wanted, Reach] = field(default_factory=dict)
    stocks: dict[str, Stock] = field(default_factory=dict)

    def pools_of(self, stocks: Iterable[Stock]) -> list[Pool]:
        """The balances that some grants belong to."""
        return list({id(stock.pool): stock.pool for stock in stocks}.values())


async def load_reached(
    work: Work, wanted: Iterable[Wanted], *, lock: bool = True, used: bool = False
) -> Loaded:
    """The balances that these may draw on, with the grants that can be drawn on.

    With `used`, also with those of which something is in use.
    """
    wishes = list(dict.fromkeys(wanted))
    parameter = orjson.dumps([wish._asdict() for wish in wishes]).decode()
    statement = LOCK_REACHED if lock else READ_REACHED
    cursor = await work.driver.execute(statement, (parameter,), prepare=True, binary=True)
    loaded = Loaded()
    reached: dict[Wanted, list[Pool]] = {}
    for consumer, named, *columns in await cursor.fetchall():
        pool = loaded.pools.setdefault((columns[0], columns[1]), Pool(*columns))
        reached.setdefault(Wanted(consumer, pool.feature, named), []).append(pool)
    await _load_grants(work, loaded, SELECT_USED_GRANTS if used else SELECT_OPEN_GRANTS)
    for wish, pools in reached.items():
        usable = [pool for pool in pools if not pool.is_suspended]
        loaded.reach[wish] = Reach(usable, burn_order(usable) if usable else (), not usable)
    return loaded


async def load_named(
    work: Work,
    keys: Iterable[tuple[str, str]],
    *,
    grant_ids: Sequence[str] = (),
    lock: bool = True,
) -> Loaded:
    """Balances by account and feature, with the grants that can be drawn on and those named."""
    parameter = orjson.dumps([{"account": account, "feature": feature} for account, feature in set(keys)])
    statement = LOCK_NAMED if lock else READ_NAMED
    cursor = await work.driver.execute(statement, (parameter.decode(),), prepare=True, binary=True)
    loaded = Loaded({(row[0], row[1]): Pool(*row) for row in await cursor.fetchall()})
    ids = orjson.dumps(list(grant_ids)).decode()
    await _load_grants(work, loaded, SELECT_THESE_GRANTS, ids)
    return loaded


async def _load_grants(work: Work, loaded: Loaded, statement: str, *more: Any) -> None:
    if not loaded.pools:
        return
    keys = [{"account": account, "feature": feature} for account, feature in loaded.pools]
    parameter = orjson.dumps(keys).decode()
    cursor = await work.driver.execute(statement, (parameter, *more), prepare=True, binary=True)
    by_pool: dict[tuple[str, str], list[Stock]] = {key: [] for key in loaded.pools}
    for account, feature, *columns in await cursor.fetchall():
        stock = Stock(loaded.pools[account, feature], *columns)
        by_pool[account, feature].append(stock)
        loaded.stocks[stock.grant_id] = stock
    _open_up(loaded.pools, by_pool, work.now)


def _open_up(
    pools: Mapping[tuple[str, str], Pool],
    by_pool: Mapping[tuple[str, str], list[Stock]],
    now: datetime,
) -> None:
    for key, pool in pools.items():
        pool.open_up(by_pool[key], now)
