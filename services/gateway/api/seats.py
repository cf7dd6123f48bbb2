"""`/api/v1/billing/team/seats`: lists, assigns, replaces and revokes the seats of a team."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field, Tag

from services.gateway.api.team import TeamId
from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_team
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import Responses, problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from services.gateway.service_client import json_response
from tallystick.messages import seats as m
from tallystick.messages.base import EntityId, TolerantModel
from tallystick.messages.seats.types import ASSIGN_MAX_SEATS, Address, Member, Multiplier, SeatStatus

router = APIRouter(prefix="/api/v1/billing/team/seats", tags=["seats"])


class AssignSeatBody(m.SeatToAssign, title="OneSeat"):
    """The person to assign a seat to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "member@example.com", "role": "editor"}]}
    )


class AssignSeatsBody(Body, title="ManySeats"):
    """The people to assign seats to; each assignment succeeds or fails on its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"seats": [{"email": "one@example.com"}, {"email": "two@example.com"}]}]
        }
    )

    seats: Annotated[list[m.SeatToAssign], Field(min_length=1, max_length=ASSIGN_MAX_SEATS)]


class AssignSeatsResult(TolerantModel, title="AssignedAndNot"):
    """The assigned seats, and the errors of those that were not assigned."""

    data: list[m.AssignedSeat]
    errors: list[m.SeatError]


class ReplaceSeatBody(Body, title="Holder"):
    """The new holder of the seat: an address to invite, a user, or both."""

    email: Address | None = None
    member: Member | None = None


class SetMultiplierBody(Body, title="Multiple"):
    """The factor that the seat's units are multiplied by."""

    multiplier: Multiplier


AssignBody = Annotated[AssignSeatBody, Tag("OneSeat")] | Annotated[AssignSeatsBody, Tag("ManySeats")]
"""The tags are part of the field paths that `invalid_message` reports."""
ASSIGNED: Responses = {207: {"model": AssignSeatsResult, "description": "Several seats: the result of each."}}


@router.get("", response_model=m.SeatPage, responses=problem_responses(m.ListSeats))
async def seats(
    caller: ReadCaller,
    services: ServiceClientDep,
    status: SeatStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    team_id: TeamId = None,
) -> Response:
    """List the team's seats, newest first."""
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
    body: AssignBody,
    team_id: TeamId = None,
) -> Response:
    """Assign one seat, or several: the response to several is 207 with the seat or error of each."""
    target = await find_team(services, caller, team_id)
    if isinstance(body, AssignSeatBody):
        command = command_for(m.AssignSeat, caller, command_id, body, team_id=target.team_id)
        return await services.respond(command, 201)
    result = await services.request_json(
        command_for(m.AssignSeats, caller, command_id, body, team_id=target.team_id)
    )
    return json_response({"data": result["assigned"], "errors": result["errors"]}, 207)


@router.post(
    "/{seat_id}/resend",
    response_model=m.InvitationResent,
    responses=problem_responses(m.ResendInvitation, codes=["not_found"]),
)
async def resend(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, seat_id: EntityId
) -> Response:
    """Send the invitation again; the previous one becomes invalid."""
    return await services.respond(command_for(m.ResendInvitation, caller, command_id, seat_id=seat_id))


@router.delete(
    "/{seat_id}", response_model=m.SeatFound, responses=problem_responses(m.RevokeSeat, codes=["not_found"])
)
async def revoke(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, seat_id: EntityId
) -> Response:
    """Revoke a seat; it is available at once."""
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
    body: ReplaceSeatBody,
) -> Response:
    """Give a seat, with its remaining units, to another person."""
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
    body: SetMultiplierBody,
) -> Response:
    """Multiply the units that a seat gets."""
    command = command_for(m.SetSeatMultiplier, caller, command_id, body, seat_id=seat_id)
    return await services.respond(command)
