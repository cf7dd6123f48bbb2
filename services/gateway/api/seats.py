"""`/api/v1/billing/team/seats`: who has a seat; given, passed on and taken back by the billing manager."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from services.gateway.api.team import TeamId
from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_team
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import Responses, problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from services.gateway.service_client import json_response
from tallystick.messages import seats as m
from tallystick.messages.base import EntityId, Told
from tallystick.messages.seats.types import ASSIGN_MAX_SEATS, Address, Member, Multiplier, SeatStatus

router = APIRouter(prefix="/api/v1/billing/team/seats", tags=["seats"])


class OneSeat(m.SeatToAssign):
    """Who is to have a seat."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "member@example.com", "role": "editor"}]}
    )


class ManySeats(Body):
    """Who are to have seats; each is assigned or not on its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"seats": [{"email": "one@example.com"}, {"email": "two@example.com"}]}]
        }
    )

    seats: Annotated[list[m.SeatToAssign], Field(min_length=1, max_length=ASSIGN_MAX_SEATS)]


class AssignedAndNot(Told):
    """What became of each of many."""

    data: list[m.AssignedSeat]
    errors: list[m.SeatError]


class Holder(Body):
    """Who has the seat from now on: an address to invite, a user, or both."""

    email: Address | None = None
    member: Member | None = None


class Multiple(Body):
    """How many times a seat gets what each seat gets."""

    multiplier: Multiplier


ASSIGNED: Responses = {207: {"model": AssignedAndNot, "description": "Many: what became of each."}}


@router.get("", response_model=m.SeatPage, responses=problem_responses(m.ListSeats))
async def seats(
    caller: ReadCaller,
    services: ServiceClientDep,
    status: SeatStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    team_id: TeamId = None,
) -> Response:
    """The team's seats, newest first."""
    target = await find_team(services, caller, team_id)
    question = m.ListSeats(team_id=target.team_id, status=status, limit=limit, cursor=cursor)
    return await services.respond(question)


@router.post(
    "",
    status_code=201,
    response_model=m.SeatAssigned,
    responses=ASSIGNED | problem_responses(m.AssignSeat, m.AssignSeats, m.GetTeam),
)
async def assign(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: OneSeat | ManySeats,
    team_id: TeamId = None,
) -> Response:
    """Give somebody a seat, or many at once: those answer 207, each with its seat or its error."""
    target = await find_team(services, caller, team_id)
    if isinstance(body, OneSeat):
        one = command_for(m.AssignSeat, caller, command_id, body, team_id=target.team_id)
        return await services.respond(one, 201)
    many = command_for(m.AssignSeats, caller, command_id, body, team_id=target.team_id)
    result = await services.request_json(many)
    return json_response({"data": result["assigned"], "errors": result["errors"]}, 207)


@router.post(
    "/{seat_id}/resend",
    response_model=m.InvitationResent,
    responses=problem_responses(m.ResendInvitation, codes=["not_found"]),
)
async def resend(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, seat_id: EntityId
) -> Response:
    """Invite again; the invitation before is dead."""
    return await services.respond(command_for(m.ResendInvitation, caller, command_id, seat_id=seat_id))


@router.delete(
    "/{seat_id}", response_model=m.SeatFound, responses=problem_responses(m.RevokeSeat, codes=["not_found"])
)
async def revoke(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, seat_id: EntityId
) -> Response:
    """Take a seat back; it is free at once."""
    return await services.respond(command_for(m.RevokeSeat, caller, command_id, seat_id=seat_id))


@router.post(
    "/{seat_id}/replace",
    response_model=m.SeatReplaced,
    responses=problem_responses(m.ReplaceSeat, codes=["not_found"]),
)
async def replace(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    seat_id: EntityId,
    body: Holder,
) -> Response:
    """Pass a seat on, with what is left of its units."""
    return await services.respond(command_for(m.ReplaceSeat, caller, command_id, body, seat_id=seat_id))


@router.put(
    "/{seat_id}/multiplier",
    response_model=m.SeatFound,
    responses=problem_responses(m.SetSeatMultiplier, codes=["not_found"]),
)
async def multiplier(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    seat_id: EntityId,
    body: Multiple,
) -> Response:
    """Have a seat get several times what each seat gets."""
    command = command_for(m.SetSeatMultiplier, caller, command_id, body, seat_id=seat_id)
    return await services.respond(command)
