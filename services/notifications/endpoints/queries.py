"""Answers to questions about endpoints and deliveries."""

import sqlalchemy as sa

from services.notifications.endpoints.snapshots import delivery_snapshot, endpoint_snapshot
from services.notifications.service import service
from services.notifications.tables import DeliveryRow, EndpointRow
from shared.errors import Rejected
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m


@service.question(m.ListEndpoints)
async def list_endpoints(work: UnitOfWork, question: m.ListEndpoints) -> m.EndpointPage:
    """Return a page of endpoints, newest first, without deleted ones."""
    query = sa.select(EndpointRow).where(EndpointRow.status != "deleted")
    if question.customer is not None:
        query = query.where(EndpointRow.customer == question.customer.token)
    if question.cursor is not None:
        query = query.where(EndpointRow.endpoint_id < decode_cursor(question.cursor, 1)[0])
    query = query.order_by(EndpointRow.endpoint_id.desc()).limit(question.limit + 1)
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    more = len(rows) > question.limit
    return m.EndpointPage(
        items=[endpoint_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].endpoint_id) if more else None,
    )


@service.question(m.ListDeliveries)
async def list_deliveries(work: UnitOfWork, question: m.ListDeliveries) -> m.DeliveryPage:
    """Return a page of deliveries, newest first; raises Rejected `not_found`."""
    if await work.session.get(EndpointRow, question.endpoint_id) is None:
        raise Rejected("not_found", f"There is no endpoint {question.endpoint_id}.")
    query = sa.select(DeliveryRow).where(DeliveryRow.endpoint_id == question.endpoint_id)
    if question.status is not None:
        query = query.where(DeliveryRow.status == question.status)
    if question.cursor is not None:
        query = query.where(DeliveryRow.delivery_id < decode_cursor(question.cursor, 1)[0])
    query = query.order_by(DeliveryRow.delivery_id.desc()).limit(question.limit + 1)
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    more = len(rows) > question.limit
    return m.DeliveryPage(
        items=[delivery_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].delivery_id) if more else None,
    )
