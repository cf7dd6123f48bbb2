"""`/api/v1/billing/team/seats`: who has a seat; given, passed on and taken back by the billing manager."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from services.gateway.api.team import TeamId
from services.gateway.auth.authentication import CommandKey, Managing, Reading, caller_token
from services.gateway.auth.ownership import team_of
from services.gateway.dependencies import Services
from services.gateway.openapi import Responses, refusals
from services.gateway.schemas import Body, Cursor, Limit, given
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


@router.get("", response_model=m.SeatPage, responses=refusals(m.ListSeats))
async def seats(
    caller: Reading,
    billing: Services,
    status: SeatStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    team_id: TeamId = None,
) -> Response:
    """The team's seats, newest first."""
    target = await team_of(billing, caller, team_id)
    question = m.ListSeats(team_id=target.team_id, status=status, limit=limit, cursor=cursor)
    return await billing.respond(question)


@router.post(
    "",
    status_code=201,
    response_model=m.SeatAssigned,
    responses=ASSIGNED | refusals(m.AssignSeat, m.AssignSeats, m.GetTeam),
)
async def assign(
    caller: Managing,
    billing: Services,
    command_id: CommandKey,
    body: OneSeat | ManySeats,
    team_id: TeamId = None,
) -> Response:
    """Give somebody a seat, or many at once: those answer 207, each with its seat or its error."""
    target = await team_of(billing, caller, team_id)
    fields = given(body) | {
        "command_id": command_id,
        "requested_by": caller_token(caller),
        "team_id": target.team_id,
        "acting_as": caller.person,
    }
    if isinstance(body, OneSeat):
        return await billing.respond(m.AssignSeat.model_validate(fields), 201)
    result = await billing.result(m.AssignSeats.model_validate(fields))
    return json_response({"data": result["assigned"], "errors": result["errors"]}, 207)


@router.post(
    "/{seat_id}/resend",
    response_model=m.InvitationResent,
    responses=refusals(m.ResendInvitation, codes=["not_found"]),
)
async def resend(caller: Managing, billing: Services, command_id: CommandKey, seat_id: EntityId) -> Response:
    """Invite again; the invitation before is dead."""
    command = m.ResendInvitation(
        command_id=command_id,
        requested_by=caller_token(caller),
        seat_id=seat_id,
        acting_as=caller.person,
    )
    return await billing.respond(command)


@router.delete(
    "/{seat_id}", response_model=m.SeatFound, responses=refusals(m.RevokeSeat, codes=["not_found"])
)
async def revoke(caller: Managing, billing: Services, command_id: CommandKey, seat_id: EntityId) -> Response:
    """Take a seat back; it is free at once."""
    command = m.RevokeSeat(
        command_id=command_id,
        requested_by=caller_token(caller),
        seat_id=seat_id,
        acting_as=caller.person,
    )
    return await billing.respond(command)


@router.post(
    "/{seat_id}/replace",
    response_model=m.SeatReplaced,
    responses=refusals(m.ReplaceSeat, codes=["not_found"]),
)
async def replace(
    caller: Managing, billing: Services, command_id: CommandKey, seat_id: EntityId, body: Holder
) -> Response:
    """Pass a seat on, with what is left of its units."""
    command = m.ReplaceSeat(
        command_id=command_id,
        requested_by=caller_token(caller),
        seat_id=seat_id,
        acting_as=caller.person,
        **given(body),
    )
    return await billing.respond(command)


@router.put(
    "/{seat_id}/multiplier",
    response_model=m.SeatFound,
    responses=refusals(m.SetSeatMultiplier, codes=["not_found"]),
)
async def multiplier(
    caller: Managing, billing: Services, command_id: CommandKey, seat_id: EntityId, body: Multiple
) -> Response:
    """Have a seat get several times what each seat gets."""
    command = m.SetSeatMultiplier(
        command_id=command_id,
        requested_by=caller_token(caller),
        seat_id=seat_id,
        multiplier=body.multiplier,
        acting_as=caller.person,
    )
    return await billing.respond(command)
