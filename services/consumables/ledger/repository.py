"""Balances that commands draw on, found, locked and loaded, very many at a time.

Two readings for a whole group of commands, asked for at once: the first finds and locks the balances in their
one order, the second reads their grants, which nobody else can change any more. What is wished for goes as
JSON; arrays would cost the worker eight times as much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from services.consumables.domain.balance import (
    Balance,
    Cause,
    Grant,
    NewGrant,
    burn_order,
    give,
    give_back,
)
from services.consumables.ledger.event_encoding import EventEncoder
from shared.persistence.sql_pipeline import BoundStatement, Statement
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
OPEN_ACCOUNTS = """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    SELECT account, customer, false, %s FROM unnest(%s::text[], %s::text[]) AS new (account, customer)
    ORDER BY account ON CONFLICT DO NOTHING
"""
OPEN_BALANCES = """
    INSERT INTO consumables.balances (account, feature, kind)
    SELECT account, feature, kind
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (account, feature, kind)
    ORDER BY account, feature ON CONFLICT DO NOTHING
"""
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


class DrawRequest(NamedTuple):
    """Who wants units of what, and from which account if that was said."""

    consumer: str
    feature: str
    account: str | None


class Reach(NamedTuple):
    """What somebody may draw on; without what is suspended."""

    balances: Sequence[Balance]
    grants: Sequence[Grant]
    """All their grants, in the order in which they are drawn on."""
    is_suspended: bool
    """There is something, and all of it is suspended."""
    all_balances: Sequence[Balance]
    """With those that are suspended."""


class Account(NamedTuple):
    """An account and a feature, and what is needed to open a balance for them."""

    account: str
    feature: str
    kind: str
    customer: str
    """The token of the customer who pays."""


@dataclass(slots=True)
class LedgerBatch:
    """The balances that one transaction works on, locked, with their grants."""

    encoder: EventEncoder
    balances: dict[tuple[str, str], Balance] = field(default_factory=dict)
    reach: dict[DrawRequest, Reach] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    overdue: list[str] = field(default_factory=list)
    """Reservations whose time was found to be over, and whose units were given back."""

    def give(self, balance: Balance, new: Sequence[NewGrant]) -> list[str]:
        """Add grants to a balance with one event; return their ids."""
        self.encoder.emit_pending(balance)
        for one in new:
            self.grants[one.grant_id] = give(balance, one, self.encoder.work.now)
        if new:
            self.encoder.emit_granted(balance, new[-1])
        return [one.grant_id for one in new]


def loading(
    wanted: Iterable[DrawRequest] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> tuple[BoundStatement, BoundStatement]:
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
    wanted: Iterable[DrawRequest] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> LedgerBatch:
    """The balances that these may draw on and those named by account and feature, with their open grants.

    Beside these come the grants with the ids given and, with `in_use`, all of which something is in use. What
    has lapsed by the clock has lapsed in what is loaded: reservations too, but for those that hold units of
    other balances as well, which wait for the tick.
    """
    found, grants = await work.run(
        *loading(wanted, named=named, grant_ids=grant_ids, in_use=in_use, lock=lock)
    )
    batch = LedgerBatch(EventEncoder(work))
    reached: dict[DrawRequest, list[Balance]] = {}
    for consumer, account, *columns in found.rows:
        balance = batch.balances.setdefault((columns[0], columns[1]), Balance(*columns))
        if consumer is not None:
            reached.setdefault(DrawRequest(consumer, balance.feature, account), []).append(balance)
    overdue = await _overdue(work, batch)
    lapsing = [part["grant_id"] for _, _, drawn in overdue for part in drawn]
    _take_in(batch, grants.rows)
    if any(grant_id not in batch.grants for grant_id in lapsing):
        (others,) = await work.run(THESE_GRANTS(orjson.dumps(lapsing).decode()))
        _take_in(batch, others.rows)
    _open_up(work, batch)
    _let_lapse(work, batch, overdue)
    for request, balances in reached.items():
        usable = [balance for balance in balances if not balance.is_suspended]
        batch.reach[request] = Reach(usable, burn_order(usable) if usable else (), not usable, balances)
    return batch


async def open_balances(
    work: UnitOfWork, accounts: Iterable[Account], *, grant_ids: Sequence[str] = ()
) -> LedgerBatch:
    """Load balances by account and feature, and make those that do not exist yet."""
    wanted = {(one.account, one.feature): one for one in accounts}
    batch = await load(work, named=wanted, grant_ids=grant_ids)
    missing = [one for key, one in wanted.items() if key not in batch.balances]
    if missing:
        columns = zip(*missing, strict=True)
        names, features, kinds, customers = (list(column) for column in columns)
        await work.driver.execute(OPEN_ACCOUNTS, (work.now, names, customers))
        await work.driver.execute(OPEN_BALANCES, (names, features, kinds))
        # All of them again, so that they are locked in their order.
        batch = await load(work, named=wanted, grant_ids=grant_ids)
    return batch


def _take_in(batch: LedgerBatch, rows: Iterable[Sequence[Any]]) -> None:
    """Keep grants of the balances that are loaded."""
    for account, feature, *columns in rows:
        balance = batch.balances.get((account, feature))
        if balance is not None and columns[0] not in batch.grants:
            batch.grants[columns[0]] = Grant(balance, *columns)


def _open_up(work: UnitOfWork, batch: LedgerBatch) -> None:
    by_balance: dict[tuple[str, str], list[Grant]] = {key: [] for key in batch.balances}
    for grant in batch.grants.values():
        by_balance[grant.balance.account, grant.balance.feature].append(grant)
    for key, balance in batch.balances.items():
        balance.open_up(by_balance[key], work.now)


def _let_lapse(work: UnitOfWork, batch: LedgerBatch, overdue: Iterable[Overdue]) -> None:
    """Give back what overdue reservations hold."""
    for reservation_id, consumer, drawn in overdue:
        if all(part["grant_id"] in batch.grants for part in drawn):
            batch.overdue.append(reservation_id)
            for part in drawn:
                grant = batch.grants[part["grant_id"]]
                cause = Cause(work.caused_by, consumer, reservation_id)
                give_back(grant, "released", part["quantity"], cause)


async def _overdue(work: UnitOfWork, batch: LedgerBatch) -> list[Overdue]:
    """Reservations whose time is over, where anything is reserved at all."""
    holding = [balance for balance in batch.balances.values() if balance.reserved]
    if not holding:
        return []
    values = {
        "now": work.now,
        "features": list({balance.feature for balance in holding}),
        "accounts": list({balance.account for balance in holding}),
        "limit": OVERDUE_MAX,
    }
    cursor = await work.driver.execute(SELECT_OVERDUE, values)
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
