"""Refunds of recharges: the units follow the money of their invoice."""

import sqlalchemy as sa

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.balance import Balance, Cause, Grant, NewGrant, end, move
from services.consumables.domain.recharge_refunds import Reclaim, Reclaimed, reclaim
from services.consumables.ledger.repository import Account, LedgerBatch, open_balances
from services.consumables.ledger.writer import write
from services.consumables.recharges.repository import emit_recharge, payer_of
from services.consumables.tables.ledger import GrantRow, RechargeRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import InvoiceSnapshot


async def follow_refunds(work: UnitOfWork, invoice: InvoiceSnapshot) -> None:
    """Take back the units of a recharge as far as its invoice was refunded or lost in a dispute.

    An older state of the invoice than the last one changes nothing.
    """
    row = await work.session.get(RechargeRow, invoice.reference)
    given_back = invoice.amount_refunded + invoice.amount_charged_back
    if row is None or row.status != "paid" or given_back == row.amount_refunded:
        return
    payer = await payer_of(work, row.account)
    grant_id = await _grant_of(work, row)
    batch = await open_balances(
        work, [Account(row.account, row.feature, "consumable", payer.token)], grant_ids=[grant_id]
    )
    await work.session.refresh(row, with_for_update=True)
    if invoice.version <= row.invoice_version:
        return
    balance, grant = batch.balances[row.account, row.feature], batch.grants[grant_id]
    decided = reclaim(
        row.quantity,
        row.amount,
        given_back,
        Reclaimed(row.units_taken_back, row.units_used),
        0 if grant.has_ended else grant.remaining,
    )
    _move_units(work, batch, balance, grant, decided, row)
    row.amount_refunded, row.invoice_version = given_back, invoice.version
    row.units_taken_back, row.units_used = decided.after.taken_back, decided.after.used
    row.version += 1
    emit_recharge(work, row, "refunded", payer)
    await work.flush()
    # Not recharged: that would charge again what was just given back. The next use may do so.
    await write(work, batch)


def _move_units(
    work: UnitOfWork, batch: LedgerBatch, balance: Balance, grant: Grant, decided: Reclaim, row: RechargeRow
) -> None:
    if decided.give:
        source = {"kind": "recharge", "recharge_id": row.recharge_id}
        key = f"returned/{row.recharge_id}/{row.version}"
        new = NewGrant(new_id("grant"), decided.give, None, PLAN_PRIORITY, source, key)
        batch.add_grants(balance, [new])
    elif not grant.has_ended and decided.after.taken_back + decided.after.used == row.quantity:
        # Units that are reserved now expire when their reservation is released.
        end(grant, "revoked", Cause(work.caused_by))
    elif decided.take:
        move(grant, "revoked", decided.take, Cause(work.caused_by))


async def _grant_of(work: UnitOfWork, row: RechargeRow) -> str:
    query = sa.select(GrantRow.grant_id).where(GrantRow.key == f"recharge/{row.recharge_id}")
    found: str = (await work.session.execute(query)).scalar_one()
    return found
