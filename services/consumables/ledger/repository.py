"""Loading and locking of balances with their grants, for many commands at a time.

Two statements, sent together, serve a whole group of commands: the first finds the balances and locks them in
their order, the second reads their grants, which no other transaction can change by then. Requests are passed
as JSON, because arrays cost the worker eight times as much.
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
    add_grant,
    burn_order,
    give_back,
)
from services.consumables.ledger.event_encoding import EventEncoder
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.persistence.unit_of_work import UnitOfWork

_BALANCE_COLUMNS = """
    balances.account, feature, balances.kind, accounts.customer, accounts.suspended, balances.version,
    granted, beyond, consumed, reserved, expired, remaining, unlimited, excess, last_granted, threshold,
    accounts.suspends_at, alert_at
"""
_REACH_CTE = """
    WITH wish AS (
        SELECT consumer, feature, account
        FROM jsonb_to_recordset($1::jsonb) AS wish (consumer text, feature text, account text)
    ), reach AS MATERIALIZED (
        -- Materialized, because a join that is evaluated again after waiting for a lock would find no rows.
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
_BALANCES = f"""{_REACH_CTE}
    SELECT reach.consumer, reach.named, {_BALANCE_COLUMNS}
    FROM reach JOIN consumables.balances USING (account, feature) JOIN consumables.accounts USING (account)
    ORDER BY account, feature"""  # noqa: S608 - our own names
LOCK_BALANCES = Statement(f"{_BALANCES} FOR UPDATE OF balances")
READ_BALANCES = Statement(_BALANCES)
_GRANT_COLUMNS = """
    account, feature, grant_id, quantity, consumed, reserved, expired, remaining, expires_at, priority,
    created_at, version, ended_at IS NOT NULL, revoked
"""
_GRANTS_BY_ID = f"""
    SELECT {_GRANT_COLUMNS} FROM consumables.grants
    WHERE grant_id = ANY (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
"""  # noqa: S608 - our own names
_GRANTS = f"""{_REACH_CTE}
    SELECT {_GRANT_COLUMNS} FROM (SELECT DISTINCT account, feature FROM reach) AS reached
    JOIN consumables.grants USING (account, feature) WHERE open
    UNION {_GRANTS_BY_ID}
"""  # noqa: S608 - our own names
GRANTS = Statement(_GRANTS)
GRANTS_IN_USE = Statement(_GRANTS.replace("WHERE open", "WHERE (open OR grants.consumed > 0)"))
GRANTS_BY_ID = Statement(_GRANTS_BY_ID.replace("$3", "$1"))
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
"""Selects overdue reservations that hold units of the loaded balances only, and locks them."""
OVERDUE_MAX = 100
"""The most overdue reservations that one `load` releases; the job `expire_reservations` releases the rest."""


Overdue = tuple[str, str, list[dict[str, Any]]]
"""A reservation's id, its consumer, and the units that it holds."""


class DrawRequest(NamedTuple):
    """The consumer and feature of a request for units, and the account if the request names one."""

    consumer: str
    feature: str
    account: str | None


class Reach(NamedTuple):
    """The balances that a request may draw on."""

    balances: Sequence[Balance]
    """Without those of suspended accounts."""
    grants: Sequence[Grant]
    """The grants of `balances` in the order of drawing."""
    is_suspended: bool
    """Whether the accounts of all balances are suspended."""
    all_balances: Sequence[Balance]
    """Including those of suspended accounts."""


class Account(NamedTuple):
    """An account and a feature, with the values for creating their balance."""

    account: str
    feature: str
    kind: str
    customer: str
    """The token of the customer who pays."""


@dataclass(slots=True)
class LedgerBatch:
    """The balances of one transaction with their grants; locked, unless only queried."""

    encoder: EventEncoder
    balances: dict[tuple[str, str], Balance] = field(default_factory=dict)
    reach: dict[DrawRequest, Reach] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    overdue: list[str] = field(default_factory=list)
    """Ids of the reservations that were found to be overdue and whose units were released."""

    def add_grants(self, balance: Balance, new: Sequence[NewGrant]) -> list[str]:
        """Add grants to a balance, emit one `granted` event, and return their ids."""
        self.encoder.emit_pending(balance)
        for grant in new:
            self.grants[grant.grant_id] = add_grant(balance, grant, self.encoder.work.now)
        if new:
            self.encoder.emit_granted(balance, new[-1])
        return [grant.grant_id for grant in new]


def load_statements(
    requests: Iterable[DrawRequest] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> tuple[BoundStatement, BoundStatement]:
    """Return the statements that `load` runs first."""
    requested = [request._asdict() for request in dict.fromkeys(requests)]
    by_name = [{"account": account, "feature": feature} for account, feature in dict.fromkeys(named)]
    values = (orjson.dumps(requested).decode(), orjson.dumps(by_name).decode())
    balances = LOCK_BALANCES if lock else READ_BALANCES
    grants = (GRANTS_IN_USE if in_use else GRANTS)(*values, orjson.dumps(list(grant_ids)).decode())
    # Both statements are sent at once, but the grants are read after the balances are locked.
    return balances(*values), grants


async def load(
    work: UnitOfWork,
    requests: Iterable[DrawRequest] = (),
    *,
    named: Iterable[tuple[str, str]] = (),
    grant_ids: Iterable[str] = (),
    in_use: bool = False,
    lock: bool = True,
) -> LedgerBatch:
    """Load the balances that requests may draw on and those named by account and feature.

    The batch has their open grants, the grants with the given ids and, with `in_use`, all grants with units
    in use. Grants that have expired by now are ended. Overdue reservations are released, except for those
    that hold units of other balances as well, which are left to the job `expire_reservations`.
    """
    found, grants = await work.run(
        *load_statements(requests, named=named, grant_ids=grant_ids, in_use=in_use, lock=lock)
    )
    batch = LedgerBatch(EventEncoder(work))
    reached: dict[DrawRequest, list[Balance]] = {}
    for consumer, account, *columns in found.rows:
        balance = batch.balances.setdefault((columns[0], columns[1]), Balance(*columns))
        if consumer is not None:
            reached.setdefault(DrawRequest(consumer, balance.feature, account), []).append(balance)
    overdue = await _select_overdue(work, batch)
    reserved_from = [part["grant_id"] for _, _, drawn in overdue for part in drawn]
    _add_grants(batch, grants.rows)
    if any(grant_id not in batch.grants for grant_id in reserved_from):
        (others,) = await work.run(GRANTS_BY_ID(orjson.dumps(reserved_from).decode()))
        _add_grants(batch, others.rows)
    _attach_grants(work, batch)
    _release_overdue(work, batch, overdue)
    for request, balances in reached.items():
        usable = [balance for balance in balances if not balance.is_suspended]
        batch.reach[request] = Reach(usable, burn_order(usable) if usable else (), not usable, balances)
    return batch


async def open_balances(
    work: UnitOfWork, accounts: Iterable[Account], *, grant_ids: Sequence[str] = ()
) -> LedgerBatch:
    """Load balances by account and feature, and create those that do not exist yet."""
    by_key = {(account.account, account.feature): account for account in accounts}
    batch = await load(work, named=by_key, grant_ids=grant_ids)
    missing = [account for key, account in by_key.items() if key not in batch.balances]
    if missing:
        columns = zip(*missing, strict=True)
        names, features, kinds, customers = (list(column) for column in columns)
        await work.driver.execute(OPEN_ACCOUNTS, (work.now, names, customers))
        await work.driver.execute(OPEN_BALANCES, (names, features, kinds))
        # Load all of them again, so that they are locked in their order.
        batch = await load(work, named=by_key, grant_ids=grant_ids)
    return batch


def _add_grants(batch: LedgerBatch, rows: Iterable[Sequence[Any]]) -> None:
    """Add the rows of grants whose balances are loaded."""
    for account, feature, *columns in rows:
        balance = batch.balances.get((account, feature))
        if balance is not None and columns[0] not in batch.grants:
            batch.grants[columns[0]] = Grant(balance, *columns)


def _attach_grants(work: UnitOfWork, batch: LedgerBatch) -> None:
    by_balance: dict[tuple[str, str], list[Grant]] = {key: [] for key in batch.balances}
    for grant in batch.grants.values():
        by_balance[grant.balance.account, grant.balance.feature].append(grant)
    for key, balance in batch.balances.items():
        balance.attach_grants(by_balance[key], work.now)


def _release_overdue(work: UnitOfWork, batch: LedgerBatch, overdue: Iterable[Overdue]) -> None:
    """Release the units of overdue reservations."""
    for reservation_id, consumer, drawn in overdue:
        if all(part["grant_id"] in batch.grants for part in drawn):
            batch.overdue.append(reservation_id)
            for part in drawn:
                grant = batch.grants[part["grant_id"]]
                cause = Cause(work.caused_by, consumer, reservation_id)
                give_back(grant, "released", part["quantity"], cause)


async def _select_overdue(work: UnitOfWork, batch: LedgerBatch) -> list[Overdue]:
    """Return the overdue reservations of the loaded balances; no query if no units are reserved."""
    reserved = [balance for balance in batch.balances.values() if balance.reserved]
    if not reserved:
        return []
    values = {
        "now": work.now,
        "features": list({balance.feature for balance in reserved}),
        "accounts": list({balance.account for balance in reserved}),
        "limit": OVERDUE_MAX,
    }
    cursor = await work.driver.execute(SELECT_OVERDUE, values)
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
