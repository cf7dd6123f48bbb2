"""Questions about payouts."""

import sqlalchemy as sa

from services.payouts.service import service
from services.payouts.tables.payouts import PayoutRow
from services.payouts.transfers.state_changes import payout_snapshot
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m


@service.question(m.ListPayouts)
async def list_payouts(work: UnitOfWork, question: m.ListPayouts) -> m.PayoutPage:
    """List a page of payouts, newest first."""
    query = sa.select(PayoutRow)
    if question.customer is not None:
        query = query.where(PayoutRow.customer == question.customer.token)
    if question.status is not None:
        query = query.where(PayoutRow.status == question.status)
    if question.cursor is not None:
        query = query.where(PayoutRow.payout_id < decode_cursor(question.cursor, 1)[0])
    query = query.order_by(PayoutRow.payout_id.desc()).limit(question.limit + 1)
    rows = (await work.session.scalars(query)).all()
    page = rows[: question.limit]
    more = encode_cursor(page[-1].payout_id) if len(rows) > len(page) else None
    return m.PayoutPage(items=[payout_snapshot(row) for row in page], next_cursor=more)
