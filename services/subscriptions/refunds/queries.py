"""Questions about refunds and disputes."""

from services.subscriptions.refunds.state_changes import dispute_snapshot, refund_snapshot
from services.subscriptions.repository import refunds
from services.subscriptions.service import service
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.question(m.ListRefunds)
async def list_refunds(work: UnitOfWork, question: m.ListRefunds) -> m.RefundPage:
    """Return a page of refunds; one row more is loaded to know whether there is a next page."""
    rows = await refunds.list_refunds(
        work.session,
        token=question.customer.token if question.customer else None,
        invoice_id=question.invoice_id,
        before=decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None,
        limit=question.limit + 1,
    )
    shown = rows[: question.limit]
    return m.RefundPage(
        items=[refund_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].refund_id) if len(rows) > question.limit else None,
    )


@service.question(m.ListDisputes)
async def list_disputes(work: UnitOfWork, question: m.ListDisputes) -> m.DisputePage:
    """Return a page of disputes."""
    rows = await refunds.list_disputes(
        work.session,
        token=question.customer.token if question.customer else None,
        status=question.status,
        before=decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None,
        limit=question.limit + 1,
    )
    shown = rows[: question.limit]
    return m.DisputePage(
        items=[dispute_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].dispute_id) if len(rows) > question.limit else None,
    )
