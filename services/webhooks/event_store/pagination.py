"""Page cursors of `list_events`: the position of the last event of a page, opaque to clients."""

from datetime import datetime

from services.webhooks.event_store.repository import EventCursor
from shared.errors import invalid_message
from shared.persistence import cursors


def encode_cursor(position: EventCursor) -> str:
    """Encode the cursor of the page that follows a position."""
    return cursors.encode_cursor(position.received_at.isoformat(), position.event_id)


def decode_cursor(cursor: str) -> EventCursor:
    """Decode a cursor; raise Rejected `invalid_message` if it is malformed."""
    received_at, event_id = cursors.decode_cursor(cursor, 2)
    try:
        moment = datetime.fromisoformat(received_at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid_message([{"field": "cursor", "problem": "is not the next_cursor of a page of events"}])
    return EventCursor(moment, event_id)
