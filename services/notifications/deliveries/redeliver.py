"""Sending again on request, tests, and the jobs of deliveries."""

from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.notifications.deliveries.deliverer import Deliverer, DeliveryTools
from services.notifications.deliveries.fan_out import KEPT_FOR
from services.notifications.domain.drafts import Draft
from services.notifications.domain.email_address import deliverable_address
from services.notifications.domain.kinds import sample_facts
from services.notifications.endpoints.manage import lock_endpoint
from services.notifications.endpoints.snapshots import delivery_snapshot, endpoint_snapshot
from services.notifications.mail.queue import MailQueue
from services.notifications.service import service
from services.notifications.snapshots import notification_snapshot
from services.notifications.tables import DeliveryRow, EndpointRow, OutgoingEventRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import notifications as m
from tallystick.messages.notifications import REDELIVER_MAX_EVENTS, TEST_TYPE

CLEAN_BATCH = 5_000


@service.command(m.Redeliver)
async def redeliver(work: UnitOfWork, command: m.Redeliver) -> m.Deliveries:
    """Queue deliveries of an endpoint again; raises Rejected `not_found`."""
    endpoint = await lock_endpoint(work, command.endpoint_id)
    query = sa.select(DeliveryRow).where(DeliveryRow.endpoint_id == endpoint.endpoint_id)
    if command.event_ids is not None:
        query = query.where(DeliveryRow.event_id.in_(command.event_ids))
    else:
        occurred = sa.select(OutgoingEventRow.event_id).where(OutgoingEventRow.occurred_at >= command.since)
        query = query.where(DeliveryRow.event_id.in_(occurred))
    query = query.order_by(DeliveryRow.delivery_id).limit(REDELIVER_MAX_EVENTS).with_for_update()
    rows = (await work.session.scalars(query)).all()
    missing = sorted(set(command.event_ids or ()) - {row.event_id for row in rows})
    if missing:
        problem = f"The endpoint was never sent the event {missing[0]}."
        raise Rejected("not_found", problem, {"event_ids": list(missing)})
    for row in rows:
        row.status, row.attempts, row.next_attempt_at, row.last_error = "pending", 0, work.now, None
    return m.Deliveries(deliveries=[delivery_snapshot(row) for row in rows])


@service.command(m.SendTest)
async def send_test(work: UnitOfWork, command: m.SendTest, queue: MailQueue) -> m.TestSent:
    """Queue a test; raises Rejected `not_found` and `invalid_email`."""
    if command.endpoint_id is not None:
        endpoint = await lock_endpoint(work, command.endpoint_id)
        return m.TestSent(delivery=delivery_snapshot(await _test_delivery(work, endpoint)))
    assert command.kind is not None
    assert command.customer is not None
    assert command.email is not None
    if deliverable_address(command.email) is None:
        raise Rejected("invalid_email", f"{command.email!r} is not an email address.")
    draft = Draft(
        command.kind, command.command_id, command.email, command.customer.token, sample_facts(command.kind)
    )
    added = await queue.add(work, [draft], happened_at=queue.clock.now(), is_forced=True)
    if not added:
        raise Rejected("not_found", f"This installation does not send mails of the kind {command.kind}.")
    return m.TestSent(notification=notification_snapshot(added[0]))


async def _test_delivery(work: UnitOfWork, endpoint: EndpointRow) -> DeliveryRow:
    snapshot = endpoint_snapshot(endpoint)
    event_id = new_id("evt")
    document: dict[str, Any] = {
        "type": TEST_TYPE,
        "event_id": event_id,
        "occurred_at": work.now,
        "version": endpoint.version,
        "caused_by": work.caused_by,
        "customer": snapshot.customer.model_dump() if snapshot.customer else None,
        "endpoint": snapshot.model_dump(mode="json"),
    }
    body = {
        "event_id": event_id,
        "type": TEST_TYPE,
        "body": orjson.dumps(document, option=orjson.OPT_UTC_Z),
        "occurred_at": work.now,
        "created_at": work.now,
    }
    await work.session.execute(insert(OutgoingEventRow).values(body))
    row = DeliveryRow(
        delivery_id=new_id("dlv"),
        endpoint_id=endpoint.endpoint_id,
        event_id=event_id,
        type=TEST_TYPE,
        status="pending",
        attempts=0,
        next_attempt_at=work.now,
        created_at=work.now,
    )
    work.session.add(row)
    return row


@service.job("deliver_webhooks")
async def deliver_webhooks(transactions: Transactions, at: datetime, tools: DeliveryTools) -> None:
    """Send every webhook that is due at a moment. The worker does so by itself all the time."""
    await Deliverer(transactions, tools).deliver_due(at)


@service.job("forget_deliveries")
async def forget_deliveries(transactions: Transactions, at: datetime) -> None:
    """Delete deliveries and their bodies after 30 days, and the secrets that do not sign any more."""
    cause = tick_cause("notifications", "forget_deliveries", at)
    async with transactions.begin(caused_by=cause, now=at) as work:
        await work.session.execute(
            sa.update(EndpointRow)
            .where(EndpointRow.previous_secret_until <= at)
            .values(previous_secret=None, previous_secret_until=None)
        )
    for table, key in ((DeliveryRow, DeliveryRow.delivery_id), (OutgoingEventRow, OutgoingEventRow.event_id)):
        old = sa.select(key).where(table.created_at < at - KEPT_FOR).limit(CLEAN_BATCH)
        deleted = CLEAN_BATCH
        while deleted == CLEAN_BATCH:
            async with transactions.begin(caused_by=cause, now=at) as work:
                result = await work.session.execute(sa.delete(table).where(key.in_(old)))
                deleted = result.rowcount  # type: ignore[attr-defined] # of a DELETE
