"""`/api/v1/admin/events`: lists Stripe events and applies them again."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit, Moment
from tallystick.messages import webhooks as m
from tallystick.messages.base import Instant, StripeId

router = APIRouter(prefix="/api/v1/admin/events", tags=["admin: events"])


class ReplayEventsBody(Body, title="Again"):
    """The events to apply again: by id, or by when they were received."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event_ids": ["evt_1PgafmB7WZ01zgkW6dKueIc5"]}]}
    )

    event_ids: Annotated[list[StripeId], Field(min_length=1, max_length=m.REPLAY_MAX_EVENTS)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    types: Annotated[list[m.EventType], Field(min_length=1, max_length=100)] | None = None


class ReconcileBody(Body, title="Since"):
    """The start of the period to reconcile."""

    since: Moment


@router.get("", response_model=m.EventPage, responses=problem_responses(m.ListEvents))
async def events(
    _: AdminCaller,
    services: ServiceClientDep,
    type: Annotated[m.EventType | None, Query(description="Only events of this type.")] = None,  # noqa: A002
    status: m.StoredEventStatus | None = None,
    since: Annotated[
        Instant | None, Query(description="Only events received at or after this moment.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List Stripe events, newest first."""
    question = m.ListEvents(type=type, status=status, since=since, limit=limit, cursor=cursor)
    return await services.respond(question)


@router.post("/replay", response_model=m.ReplayResult, responses=problem_responses(m.Replay))
async def replay(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ReplayEventsBody
) -> Response:
    """Apply events again; a service that has applied an event ignores it."""
    return await services.respond(command_for(m.Replay, caller, command_id, body))


@router.post("/reconcile", response_model=m.ReconcileResult, responses=problem_responses(m.Reconcile))
async def reconcile(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ReconcileBody
) -> Response:
    """Compare with Stripe's list of events and apply those that never arrived."""
    return await services.respond(command_for(m.Reconcile, caller, command_id, body))


@router.get("/{event_id}", response_model=m.EventFound, responses=problem_responses(m.GetEvent))
async def event(_: AdminCaller, services: ServiceClientDep, event_id: StripeId) -> Response:
    """Show an event with its payload."""
    return await services.respond(m.GetEvent(event_id=event_id))


@router.post("/{event_id}/replay", response_model=m.ReplayResult, responses=problem_responses(m.Replay))
async def replay_one(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, event_id: StripeId
) -> Response:
    """Apply one event again."""
    return await services.respond(command_for(m.Replay, caller, command_id, event_ids=[event_id]))
