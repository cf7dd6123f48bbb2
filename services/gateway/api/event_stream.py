"""Server-sent events: what changes for the calling customer, and for operators everything."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from services.gateway.auth.authentication import Operating, Reading
from services.gateway.auth.principal import Caller
from services.gateway.change_feed import Shown, Wanted, concerns, formatted
from services.gateway.dependencies import Gateway, Parts
from services.gateway.openapi import Responses, refusals
from services.gateway.problem_details import ProblemError

router = APIRouter(tags=["feed"])


class EventStream(StreamingResponse):
    """A response of server-sent events."""

    media_type = "text/event-stream"


HEADERS = {"X-Accel-Buffering": "no"}
"""nginx would keep events until a buffer is full."""
PLACE_MAX = 2**63 - 1

LastEventId = Annotated[
    str | None,
    Header(
        description="The id of the last event that arrived: what came after it is sent first.",
        max_length=20,
        examples=["1042"],
    ),
]
STREAM: Responses = {
    200: {
        "description": "Events without end. `id`: its place in the feed; `event`: such as "
        "`subscription.renewedV1`; `data`: its body, as on the feed.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: subscription.renewedV1\ndata: {"event_id": "evt_…", …}\nid: 1042\n\n',
            }
        },
    }
}


@router.get("/api/v1/billing/feed", response_class=EventStream, responses=STREAM | refusals())
async def own_feed(caller: Reading, gateway: Gateway, last_event_id: LastEventId = None) -> Response:
    """What changes for the calling customer and person, as it happens."""
    about_customer, about_person = concerns(caller.customer), concerns(caller.person)
    return streaming(
        gateway, caller, lambda event: about_customer(event) or about_person(event), _place(last_event_id)
    )


@router.get("/api/v1/admin/feed", response_class=EventStream, responses=STREAM | refusals())
async def whole_feed(
    caller: Operating,
    gateway: Gateway,
    last_event_id: LastEventId = None,
    entity: str | None = Query(default=None, max_length=32, description="Only events of one kind of entity."),
    customer: str | None = Query(default=None, max_length=80, description="Only of `organization_acme`."),
) -> Response:
    """All that changes, as it happens; filtered by entity and customer."""
    return streaming(
        gateway,
        caller,
        lambda event: entity in (None, event.entity) and customer in (None, event.customer),
        _place(last_event_id),
    )


def streaming(
    gateway: Parts, caller: Caller, wanted: Wanted, after: int | None, shown: Shown = formatted
) -> Response:
    """A response that goes on until the caller's token has expired."""
    until = asyncio.get_running_loop().time() + max(0.0, caller.expires_at - time.time())
    events = gateway.live.events(caller.person.token, wanted, after, until, shown)
    return EventStream(events, headers=HEADERS)


def _place(last_event_id: str | None) -> int | None:
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit() and int(last_event_id) <= PLACE_MAX):
        field = {"field": "Last-Event-ID", "problem": "is no id of an event"}
        raise ProblemError("invalid_message", "The Last-Event-ID is none of ours.", {"fields": [dict(field)]})
    return int(last_event_id)
