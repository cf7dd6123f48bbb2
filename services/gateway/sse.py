"""Server-sent event responses that carry the change feed to browsers and programs."""

import asyncio
import time

from starlette.responses import Response, StreamingResponse

from services.gateway.auth.principal import Caller
from services.gateway.change_feed import EventFilter, EventFormatter, format_event
from services.gateway.dependencies import GatewayState

HEADERS = {"X-Accel-Buffering": "no"}
"""Keeps nginx from holding events back until a buffer is full."""


class EventStreamResponse(StreamingResponse):
    """A response of server-sent events."""

    media_type = "text/event-stream"


def stream_events(
    state: GatewayState,
    caller: Caller,
    is_wanted: EventFilter,
    after: int | None,
    format_as: EventFormatter = format_event,
) -> Response:
    """Stream the events that pass a filter until the caller's token expires. Raises ProblemError."""
    until = asyncio.get_running_loop().time() + max(0.0, caller.expires_at - time.time())
    events = state.change_feed.subscribe(caller.person.token, is_wanted, after, until, format_as)
    return EventStreamResponse(events, headers=HEADERS)
