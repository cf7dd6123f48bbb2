"""Questions about add-ons."""

from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.repository.add_ons import load_add_ons
from services.subscriptions.service import service
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.question(m.ListAddOns)
async def list_add_ons(work: UnitOfWork, question: m.ListAddOns) -> m.AddOnPage:
    """Return a page of a customer's add-ons; one row more is loaded to know whether there is a next page."""
    before = decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None
    rows = await load_add_ons(work.session, question.customer.token, before=before, limit=question.limit + 1)
    shown = rows[: question.limit]
    return m.AddOnPage(
        items=[add_on_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].add_on_id) if len(rows) > question.limit else None,
    )
