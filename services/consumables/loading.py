"""Balances that commands draw on, found, locked and loaded, very many at a time.

Two readings for a whole group of commands: the first finds and locks the balances in their one order, the
second reads their grants, which nobody else can change any more. Each has one JSON parameter; arrays would
cost the worker eight times as much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from services.consumables.domain.units import Pool, Stock, Why, burn_order, give_back
from shared.statements import Statement
from shared.work import Work

_BALANCE = """
    balances.account, feature, balances.kind, accounts.customer, accounts.suspended, balances.version,
    granted, beyond, consumed, reserved, expired, remaining, unlimited, excess, last_granted, threshold
"""
_LOCK_BALANCES = f"""
    WITH wish AS (
        SELECT consumer, feature, account
        FROM jsonb_to_recordset($1::jsonb) AS wish (consumer text, feature text, account text)
    ), reach AS (
        SELECT consumer, feature, account AS named, 'customer:' || consumer AS account FROM wish
        WHERE account IS NULL OR account = 'customer:' || consumer
        UNION ALL
        SELECT wish.consumer, feature, wish.account, access.account
        FROM wish JOIN consumables.access
            ON access.consumer = wish.consumer AND (wish.account IS NULL OR access.account = wish.account)
        UNION ALL
        SELECT NULL, feature, account, account
        FROM jsonb_to_recordset($2::jsonb) AS named (account text, feature text)
    )
    SELECT reach.consumer, reach.named, {_BALANCE}
    FROM reach JOIN consumables.balances USING (account, feature) JOIN consumables.accounts USING (account)
    ORDER BY account, feature FOR UPDATE OF balances
"""  # noqa: S608 - our own names
LOCK_BALANCES = Statement(_LOCK_BALANCES)
READ_BALANCES = Statement(_LOCK_BALANCES.replace("FOR UPDATE OF balances", ""))
_STOCK = """
    grant_id, quantity, consumed, reserved, expired, remaining, expires_at, priority, created_at, version,
    ended_at IS NOT NULL, revoked
"""
_SELECT_GRANTS = f"""
    SELECT account, feature, {_STOCK}
    FROM jsonb_to_recordset($1::jsonb) AS of (account text, feature text)
    JOIN consumables.grants USING (account, feature) WHERE open
"""  # noqa: S608 - our own names
SELECT_GRANTS = Statement(_SELECT_GRANTS)
SELECT_GRANTS_IN_USE = Statement(_SELECT_GRANTS.replace("WHERE open", "WHERE open OR grants.consumed > 0"))
SELECT_GRANTS_AND_THESE = Statement(f"""{_SELECT_GRANTS}
    UNION
    SELECT account, feature, {_STOCK} FROM consumables.grants
    WHERE grant_id IN (SELECT jsonb_array_elements_text($2::jsonb))
""")  # noqa: S608 - our own names
SELECT_OVERDUE = """
    SELECT reservation_id, consumer, drawn FROM consumables.reservations
    WHERE status = 'open' AND expires_at <= %s ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
OVERDUE_MAX = 100
"""Overdue reservations looked at by whoever meets reserved units; the tick sees to the rest."""


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
    all_pools: Sequence[Pool]
    """With those that are suspended."""


@dataclass(slots=True)
class Loaded:
    """Locked balances with their grants."""

    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    reach: dict[Wanted, Reach] = field(default_factory=dict)
    stocks: dict[str, Stock] = field(default_factory=dict)
    lapsed: list[str] = field(default_factory=list)
    """Reservations that were found to be overdue, and given back."""


async def load(
    work: Work,
    wanted: Iterable[Wanted] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> Loaded:
    """The balances that these may draw on and those named by account and feature, with their open grants.

    Beside these come the grants with the ids given and, with `in_use`, all of which something is in use. What
    has lapsed by the clock, reservations too, has lapsed in what is loaded.
    """
    wished = [wish._asdict() for wish in dict.fromkeys(wanted)]
    by_name = [{"account": account, "feature": feature} for account, feature in dict.fromkeys(named)]
    finding = LOCK_BALANCES if lock else READ_BALANCES
    (found,) = await work.run(finding(orjson.dumps(wished).decode(), orjson.dumps(by_name).decode()))
    loaded = Loaded()
    reached: dict[Wanted, list[Pool]] = {}
    for consumer, account, *columns in found.rows:
        pool = loaded.pools.setdefault((columns[0], columns[1]), Pool(*columns))
        if consumer is not None:
            reached.setdefault(Wanted(consumer, pool.feature, account), []).append(pool)
    if loaded.pools:
        await _load_grants(work, loaded, list(grant_ids), in_use=in_use)
    for wish, pools in reached.items():
        usable = [pool for pool in pools if not pool.is_suspended]
        loaded.reach[wish] = Reach(usable, burn_order(usable) if usable else (), not usable, pools)
    return loaded


async def _load_grants(work: Work, loaded: Loaded, grant_ids: list[str], *, in_use: bool) -> None:
    overdue = await _overdue(work, loaded)
    ids = [*grant_ids, *(part["grant_id"] for _, _, drawn in overdue for part in drawn)]
    keys = orjson.dumps(
        [{"account": account, "feature": feature} for account, feature in loaded.pools]
    ).decode()
    if ids and not in_use:
        finding = SELECT_GRANTS_AND_THESE(keys, orjson.dumps(ids).decode())
    else:
        finding = (SELECT_GRANTS_IN_USE if in_use else SELECT_GRANTS)(keys)
    (found,) = await work.run(finding)
    by_pool: dict[tuple[str, str], list[Stock]] = {key: [] for key in loaded.pools}
    for account, feature, *columns in found.rows:
        pool = loaded.pools.get((account, feature))
        if pool is not None:
            stock = Stock(pool, *columns)
            by_pool[account, feature].append(stock)
            loaded.stocks[stock.grant_id] = stock
    for key, pool in loaded.pools.items():
        pool.open_up(by_pool[key], work.now)
    for reservation_id, consumer, drawn in overdue:
        if all(part["grant_id"] in loaded.stocks for part in drawn):
            loaded.lapsed.append(reservation_id)
            for part in drawn:
                stock = loaded.stocks[part["grant_id"]]
                why = Why(work.caused_by, consumer, reservation_id)
                give_back(stock, "released", part["quantity"], why)


async def _overdue(work: Work, loaded: Loaded) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Reservations whose time is over, where anything is reserved at all."""
    if not any(pool.reserved for pool in loaded.pools.values()):
        return []
    cursor = await work.driver.execute(SELECT_OVERDUE, (work.now, OVERDUE_MAX))
    accounts = {account for account, _ in loaded.pools}
    return [
        (reservation_id, consumer, drawn)
        for reservation_id, consumer, drawn in await cursor.fetchall()
        if all(part["account"] in accounts for part in drawn)
    ]
