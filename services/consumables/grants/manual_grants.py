"""Grants that are made and revoked by hand, independently of any plan."""

from typing import Any

from services.consumables.domain.balance import Cause, Grant, NewGrant, end, reduce_excess
from services.consumables.ledger.rejections import no_account, unknown_feature
from services.consumables.ledger.repository import Account, load, open_balances
from services.consumables.ledger.snapshots import grant_snapshot
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import NotYetKnown, Rejected, invalid_message
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

SELECT_KIND = """
    SELECT kind FROM consumables.known_features WHERE code = %s AND kind IN ('limit', 'consumable')
"""
SELECT_CUSTOMER = "SELECT customer FROM consumables.accounts WHERE account = %s"
SELECT_BALANCE = "SELECT account, feature, source, key FROM consumables.grants WHERE grant_id = %s"
MANUAL_KEY_PREFIX = "manual/"
"""The prefix of the keys of manual grants."""


@service.command(m.Grant)
async def grant(work: UnitOfWork, command: m.Grant) -> m.Granted:
    """Grant units to an account.

    Raises Rejected `invalid_message` for a grant that would have expired, NotYetKnown `unknown_feature` or
    `no_account`.
    """
    if command.expires_at is not None and command.expires_at <= work.now:
        raise invalid_message([{"field": "expires_at", "problem": "must be in the future"}])
    kind = await _fetch_one(work, SELECT_KIND, command.feature)
    if kind is None:
        raise NotYetKnown.of(unknown_feature(command.feature))
    customer = await _customer_of(work, command.account)
    source = m.GrantSource(kind="manual", reason=command.reason)
    batch = await open_balances(work, [Account(command.account, command.feature, kind, customer)])
    balance = batch.balances[command.account, command.feature]
    new = NewGrant(
        new_id("grant"),
        command.quantity,
        command.expires_at,
        command.priority,
        source.model_dump(mode="json"),
        f"{MANUAL_KEY_PREFIX}{command.command_id}",
    )
    [grant_id] = batch.add_grants(balance, [new])
    reduce_excess(balance, Cause(command.command_id))
    await write_and_recharge(work, batch)
    return m.Granted(grant=grant_snapshot(batch.grants[grant_id], source))


@service.command(m.RevokeGrant)
async def revoke_grant(work: UnitOfWork, command: m.RevokeGrant) -> m.Granted:
    """Revoke the remaining units of a grant; revoking it again emits no event.

    Raises Rejected `not_found`.
    """
    cursor = await work.driver.execute(SELECT_BALANCE, (command.grant_id,))
    row = await cursor.fetchone()
    if row is None:
        raise Rejected("not_found", "There is no such grant.", {"grant_id": command.grant_id})
    account, feature, source, key = row
    batch = await load(work, named=[(account, feature)], grant_ids=[command.grant_id])
    grant = batch.grants[command.grant_id]
    is_open = not grant.has_ended
    if is_open:
        end(grant, "revoked", Cause(command.command_id), lowering=_ceiling_decrease(grant, key))
    snapshot = grant_snapshot(grant, m.GrantSource.model_validate(source))
    await write_and_recharge(work, batch, revoked=snapshot if is_open else None)
    return m.Granted(grant=snapshot)


def _ceiling_decrease(grant: Grant, key: str | None) -> int | None:
    """Return by how much a limit's ceiling falls with a revoked grant; None: by the grant's quantity.

    Units of grants by plans and overrides may have expired before, when their ceiling was lowered.
    """
    if grant.quantity is None or (key is not None and key.startswith(MANUAL_KEY_PREFIX)):
        return None
    return grant.quantity - grant.expired


async def _customer_of(work: UnitOfWork, account: str) -> str:
    kind, _, identity = account.partition(":")
    if kind == "customer":
        return identity
    customer = await _fetch_one(work, SELECT_CUSTOMER, account)
    if customer is None:
        raise NotYetKnown.of(no_account(account))
    return customer


async def _fetch_one(work: UnitOfWork, query: str, value: str) -> str | None:
    row: tuple[Any, ...] | None = await (await work.driver.execute(query, (value,))).fetchone()
    return None if row is None else str(row[0])
