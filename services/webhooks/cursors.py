"""Page cursors of `list_events`: the place of the last event shown, opaque to whoever passes it back."""

import re
from datetime import UTC, datetime, timedelta

from services.webhooks.store import Place
from shared.codec import invalid_message

CURSOR = re.compile(r"(?P<microseconds>[0-9]{1,18})\.(?P<event_id>[A-Za-z0-9_]{1,128})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def encode_cursor(place: Place) -> str:
    """The cursor of the page that follows a place."""
    return f"{(place.received_at - EPOCH) // MICROSECOND}.{place.event_id}"


def decode_cursor(cursor: str) -> Place:
    """The place behind a cursor; raises Rejected `invalid_message` for anything that is none."""
    matched = CURSOR.fullmatch(cursor)
    if matched is not None:
        try:
            return Place(EPOCH + int(matched["microseconds"]) * MICROSECOND, matched["event_id"])
        except OverflowError:
            pass
    raise invalid_message([{"field": "cursor", "problem": "not a `next_cursor` of an earlier page"}])
