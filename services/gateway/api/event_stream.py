"""Server-sent events of the change feed: those of the calling customer, and all of them for operators."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from services.gateway.auth.authentication import AdminCaller, ReadCaller
from services.gateway.change_feed import about_customer
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import Responses, problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.sse import EventStreamResponse, stream_events

router = APIRouter(tags=["feed"])

SEQUENCE_MAX = 2**63 - 1

LastEventId = Annotated[
    str | None,
    Header(
        description="The id of the last event that arrived; the events after it are sent first.",
        max_length=20,
        examples=["1042"],
    ),
]
STREAM: Responses = {
    200: {
        "description": "An endless stream of events. `id`: the event's sequence number in the feed; `event`: "
        "its type, such as `subscription.renewedV1`; `data`: its body, as on the feed.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: subscription.renewedV1\ndata: {"event_id": "evt_…", …}\nid: 1042\n\n',
            }
        },
    }
}


@router.get(
    "/api/v1/billing/feed", response_class=EventStreamResponse, responses=STREAM | problem_responses()
)
async def own_feed(caller: ReadCaller, state: StateDep, last_event_id: LastEventId = None) -> Response:
    """Stream the changes that concern the calling customer and person."""
    is_about_customer, is_about_person = about_customer(caller.customer), about_customer(caller.person)
    return stream_events(
        state,
        caller,
        lambda event: is_about_customer(event) or is_about_person(event),
        _sequence(last_event_id),
    )


@router.get("/api/v1/admin/feed", response_class=EventStreamResponse, responses=STREAM | problem_responses())
async def whole_feed(
    caller: AdminCaller,
    state: StateDep,
    last_event_id: LastEventId = None,
    entity: str | None = Query(
        default=None, max_length=32, description="Only events of this kind of entity."
    ),
    customer: str | None = Query(
        default=None, max_length=80, description="Only events of this customer, such as `organization_acme`."
    ),
) -> Response:
    """Stream all changes, filtered by entity and customer."""
    return stream_events(
        state,
        caller,
        lambda event: entity in (None, event.entity) and customer in (None, event.customer),
        _sequence(last_event_id),
    )


def _sequence(last_event_id: str | None) -> int | None:
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit() and int(last_event_id) <= SEQUENCE_MAX):
        field = {"field": "Last-Event-ID", "problem": "is no id of an event"}
        raise ProblemError("invalid_message", "The Last-Event-ID is none of ours.", {"fields": [dict(field)]})
    return int(last_event_id)
