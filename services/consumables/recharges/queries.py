"""Queries of recharges and auto-recharges."""

import sqlalchemy as sa

from services.consumables.recharges.repository import recharge_snapshot, rule_snapshot
from services.consumables.service import service
from services.consumables.tables.ledger import AutoRechargeRow, RechargeRow
from shared.errors import Rejected
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m


@service.question(m.GetAutoRecharge)
async def get_auto_recharge(work: UnitOfWork, question: m.GetAutoRecharge) -> m.AutoRecharge:
    """Return the auto-recharge of an account and feature; raises Rejected `not_found` if none was set."""
    row = await work.session.get(AutoRechargeRow, (question.account, question.feature))
    if row is None:
        raise Rejected("not_found", "No auto-recharge was ever set for this account and feature.")
    return await rule_snapshot(work, row)


@service.question(m.ListRecharges)
async def list_recharges(work: UnitOfWork, question: m.ListRecharges) -> m.RechargePage:
    """Return a page of an account's recharges, newest first; ids sort by time of creation."""
    query = (
        sa.select(RechargeRow)
        .where(RechargeRow.account == question.account)
        .order_by(RechargeRow.recharge_id.desc())
        .limit(question.limit + 1)
    )
    if question.cursor is not None:
        query = query.where(RechargeRow.recharge_id < decode_cursor(question.cursor, 1)[0])
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    return m.RechargePage(
        items=[recharge_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].recharge_id) if len(rows) > question.limit else None,
    )
