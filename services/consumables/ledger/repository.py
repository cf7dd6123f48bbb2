"""Balances that commands draw on, found, locked and loaded, very many at a time.

Two readings for a whole group of commands, asked for at once: the first finds and locks the balances in their
one order, the second reads their grants, which nobody else can change any more. What is wished for goes as
JSON; arrays would cost the worker eight times as much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from services.consumables.domain.balance import Pool, Stock, Why, burn_order, give_back
from shared.persistence.sql_pipeline import Bound, Statement
from shared.persistence.unit_of_work import UnitOfWork

_BALANCE = """
    balances.account, feature, balances.kind, accounts.customer, accounts.suspended, balances.version,
    granted, beyond, consumed, reserved, expired, remaining, unlimited, excess, last_granted, threshold
"""
_REACH = """
    WITH wish AS (
        SELECT consumer, feature, account
        FROM jsonb_to_recordset($1::jsonb) AS wish (consumer text, feature text, account text)
    ), reach AS MATERIALIZED (
        -- Looked up again after waiting for a lock, as it would be otherwise, nothing of it is found.
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
"""
_BALANCES = f"""{_REACH}
    SELECT reach.consumer, reach.named, {_BALANCE}
    FROM reach JOIN consumables.balances USING (account, feature) JOIN consumables.accounts USING (account)
    ORDER BY account, feature"""  # noqa: S608 - our own names
LOCK_BALANCES = Statement(f"{_BALANCES} FOR UPDATE OF balances")
READ_BALANCES = Statement(_BALANCES)
_STOCK = """
    account, feature, grant_id, quantity, consumed, reserved, expired, remaining, expires_at, priority,
    created_at, version, ended_at IS NOT NULL, revoked
"""
_THESE = f"""
    SELECT {_STOCK} FROM consumables.grants
    WHERE grant_id = ANY (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
"""  # noqa: S608 - our own names
_GRANTS = f"""{_REACH}
    SELECT {_STOCK} FROM (SELECT DISTINCT account, feature FROM reach) AS reached
    JOIN consumables.grants USING (account, feature) WHERE open
    UNION {_THESE}
"""  # noqa: S608 - our own names
GRANTS = Statement(_GRANTS)
GRANTS_IN_USE = Statement(_GRANTS.replace("WHERE open", "WHERE (open OR grants.consumed > 0)"))
THESE_GRANTS = Statement(_THESE.replace("$3", "$1"))
SELECT_OVERDUE = """
    SELECT reservation_id, consumer, drawn FROM consumables.reservations
    WHERE status = 'open' AND expires_at <= %(now)s AND feature = ANY(%(features)s)
      AND NOT EXISTS (
          SELECT FROM jsonb_array_elements(drawn) AS part WHERE part ->> 'account' <> ALL(%(accounts)s))
    ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
"""Those of the loaded balances alone: others' overdue ones are neither counted nor kept from anybody."""
OVERDUE_MAX = 100
"""Overdue reservations looked at by whoever meets reserved units; the tick sees to the rest."""


Overdue = tuple[str, str, list[dict[str, Any]]]
"""A reservation's id, its consumer, and what it holds."""


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


def loading(
    wanted: Iterable[Wanted] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> tuple[Bound, Bound]:
    """The statements that `load` runs first."""
    wished = [request._asdict() for request in dict.fromkeys(wanted)]
    by_name = [{"account": account, "feature": feature} for account, feature in dict.fromkeys(named)]
    values = (orjson.dumps(wished).decode(), orjson.dumps(by_name).decode())
    balances = LOCK_BALANCES if lock else READ_BALANCES
    grants = (GRANTS_IN_USE if in_use else GRANTS)(*values, orjson.dumps(list(grant_ids)).decode())
    # The grants are read after the locks are there, though both are asked for at once.
    return balances(*values), grants


async def load(
    work: UnitOfWork,
    wanted: Iterable[Wanted] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> Loaded:
    """The balances that these may draw on and those named by account and feature, with their open grants.

    Beside these come the grants with the ids given and, with `in_use`, all of which something is in use. What
    has lapsed by the clock has lapsed in what is loaded: reservations too, but for those that hold units of
    other balances as well, which wait for the tick.
    """
    found, stocks = await work.run(
        *loading(wanted, named=named, grant_ids=grant_ids, in_use=in_use, lock=lock)
    )
    loaded = Loaded()
    reached: dict[Wanted, list[Pool]] = {}
    for consumer, account, *columns in found.rows:
        pool = loaded.pools.setdefault((columns[0], columns[1]), Pool(*columns))
        if consumer is not None:
            reached.setdefault(Wanted(consumer, pool.feature, account), []).append(pool)
    overdue = await _overdue(work, loaded)
    lapsing = [part["grant_id"] for _, _, drawn in overdue for part in drawn]
    _take_in(loaded, stocks.rows)
    if any(grant_id not in loaded.stocks for grant_id in lapsing):
        (others,) = await work.run(THESE_GRANTS(orjson.dumps(lapsing).decode()))
        _take_in(loaded, others.rows)
    _open_up(work, loaded)
    _let_lapse(work, loaded, overdue)
    for request, pools in reached.items():
        usable = [pool for pool in pools if not pool.is_suspended]
        loaded.reach[request] = Reach(usable, burn_order(usable) if usable else (), not usable, pools)
    return loaded


def _take_in(loaded: Loaded, rows: Iterable[Sequence[Any]]) -> None:
    """Keep grants of the balances that are loaded."""
    for account, feature, *columns in rows:
        pool = loaded.pools.get((account, feature))
        if pool is not None and columns[0] not in loaded.stocks:
            loaded.stocks[columns[0]] = Stock(pool, *columns)


def _open_up(work: UnitOfWork, loaded: Loaded) -> None:
    by_pool: dict[tuple[str, str], list[Stock]] = {key: [] for key in loaded.pools}
    for stock in loaded.stocks.values():
        by_pool[stock.pool.account, stock.pool.feature].append(stock)
    for key, pool in loaded.pools.items():
        pool.open_up(by_pool[key], work.now)


def _let_lapse(work: UnitOfWork, loaded: Loaded, overdue: Iterable[Overdue]) -> None:
    """Give back what overdue reservations hold."""
    for reservation_id, consumer, drawn in overdue:
        if all(part["grant_id"] in loaded.stocks for part in drawn):
            loaded.lapsed.append(reservation_id)
            for part in drawn:
                stock = loaded.stocks[part["grant_id"]]
                why = Why(work.caused_by, consumer, reservation_id)
                give_back(stock, "released", part["quantity"], why)


async def _overdue(work: UnitOfWork, loaded: Loaded) -> list[Overdue]:
    """Reservations whose time is over, where anything is reserved at all."""
    holding = [pool for pool in loaded.pools.values() if pool.reserved]
    if not holding:
        return []
    values = {
        "now": work.now,
        "features": list({pool.feature for pool in holding}),
        "accounts": list({pool.account for pool in holding}),
        "limit": OVERDUE_MAX,
    }
    cursor = await work.driver.execute(SELECT_OVERDUE, values)
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
