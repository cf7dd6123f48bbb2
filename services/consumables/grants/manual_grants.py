"""Units that people give and take back, outside of any plan."""

from typing import Any

from services.consumables.domain.balance import Cause, Grant, NewGrant, absorb, end
from services.consumables.ledger.rejections import no_account, unknown_feature
from services.consumables.ledger.repository import Account, load, open_balances
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import NotYetKnown, Rejected
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

SELECT_KIND = """
    SELECT kind FROM consumables.known_features WHERE code = %s AND kind IN ('limit', 'consumable')
"""
SELECT_CUSTOMER = "SELECT customer FROM consumables.accounts WHERE account = %s"
SELECT_BALANCE = "SELECT account, feature, source, key FROM consumables.grants WHERE grant_id = %s"
BY_HAND = "manual/"
"""How the keys of what is given here begin."""


@service.command(m.Grant)
async def grant(work: UnitOfWork, command: m.Grant) -> m.Granted:
    """Give units to an account.

    Raises Rejected `unknown_feature` or `no_account`.
    """
    kind = await _one(work, SELECT_KIND, command.feature)
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
        f"{BY_HAND}{command.command_id}",
    )
    [grant_id] = batch.give(balance, [new])
    absorb(balance, Cause(command.command_id))
    await write_and_recharge(work, batch)
    return m.Granted(grant=grant_snapshot(batch.grants[grant_id], source))


@service.command(m.RevokeGrant)
async def revoke_grant(work: UnitOfWork, command: m.RevokeGrant) -> m.Granted:
    """Take back what is left of a grant; again: the same, with nothing told.

    Raises Rejected `not_found`.
    """
    cursor = await work.driver.execute(SELECT_BALANCE, (command.grant_id,))
    row = await cursor.fetchone()
    if row is None:
        raise Rejected("not_found", "There is no such grant.", {"grant_id": command.grant_id})
    account, feature, source, key = row
    batch = await load(work, named=[(account, feature)], grant_ids=[command.grant_id])
    grant = batch.grants[command.grant_id]
    is_news = not grant.has_ended
    if is_news:
        end(grant, "revoked", Cause(command.command_id), lowering=_lowering(grant, key))
    taken_back = grant_snapshot(grant, m.GrantSource.model_validate(source))
    await write_and_recharge(work, batch, revoked=taken_back if is_news else None)
    return m.Granted(grant=taken_back)


def grant_snapshot(grant: Grant, source: m.GrantSource) -> m.GrantSnapshot:
    """A grant as it stands."""
    return m.GrantSnapshot(
        grant_id=grant.grant_id,
        version=grant.version + grant.is_changed,
        account=grant.balance.account,
        feature=grant.balance.feature,
        quantity=grant.quantity,
        remaining=_remaining(grant),
        expires_at=grant.expires_at,
        priority=grant.priority,
        source=source,
        revoked=grant.is_revoked,
        created_at=grant.created_at,
    )


def _remaining(grant: Grant) -> int | None:
    if grant.quantity is None:
        return 0 if grant.has_ended else None
    return grant.remaining


def _lowering(grant: Grant, key: str | None) -> int | None:
    """How far a limit's ceiling falls with a grant; None: by all of it.

    Of what plans and overrides give there may be less than was granted, since their ceilings move.
    """
    if grant.quantity is None or (key is not None and key.startswith(BY_HAND)):
        return None
    return grant.quantity - grant.expired


async def _customer_of(work: UnitOfWork, account: str) -> str:
    kind, _, identity = account.partition(":")
    if kind == "customer":
        return identity
    customer = await _one(work, SELECT_CUSTOMER, account)
    if customer is None:
        raise NotYetKnown.of(no_account(account))
    return customer


async def _one(work: UnitOfWork, query: str, value: str) -> str | None:
    row: tuple[Any, ...] | None = await (await work.driver.execute(query, (value,))).fetchone()
    return None if row is None else str(row[0])
