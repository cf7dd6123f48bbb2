"""Questions about stored events."""

import orjson

from services.webhooks.event_store import repository
from services.webhooks.event_store.pagination import decode_cursor, encode_cursor
from services.webhooks.event_store.rejections import event_not_found
from services.webhooks.event_store.repository import EventCursor
from services.webhooks.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import webhooks as m


@service.question(m.GetEvent)
async def get_event(work: UnitOfWork, question: m.GetEvent) -> m.EventFound:
    """Find a stored event with its payload; raise Rejected `not_found`."""
    found = await repository.find_event(work.session, question.event_id)
    if found is None:
        raise event_not_found(question.event_id)
    event, payload = found
    with_payload = m.StoredEventWithPayload(**event.model_dump(), payload=orjson.loads(payload))
    return m.EventFound(event=with_payload)


@service.question(m.ListEvents)
async def list_events(work: UnitOfWork, question: m.ListEvents) -> m.EventPage:
    """List a page of stored events, newest first."""
    items = await repository.list_events(
        work.session,
        event_type=question.type,
        status=question.status,
        since=question.since,
        before=decode_cursor(question.cursor) if question.cursor is not None else None,
        limit=question.limit + 1,
    )
    page = items[: question.limit]
    has_more = len(items) > len(page)
    last = EventCursor(page[-1].received_at, page[-1].event_id) if has_more else None
    return m.EventPage(items=page, next_cursor=encode_cursor(last) if last else None)
