"""`/api/v1/billing/team`: seen by whoever pays for it or holds a seat, changed by its billing manager."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_team
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import seats as m
from tallystick.messages.base import EntityId
from tallystick.messages.seats.types import Member
from tallystick.messages.subscriptions import Proration, Quantity, When

router = APIRouter(prefix="/api/v1/billing/team", tags=["team"])

TeamId = Annotated[
    EntityId | None, Query(description="Absent: the team that the caller pays for, else has a seat in.")
]


class Count(Body):
    """How many seats there are to be."""

    quantity: Quantity
    when: When | None = Field(default=None, description="Absent: more at once, less at the period's end.")
    proration: Proration = "prorate"


class RemoveUnused(Body):
    """When the seats that nobody has are given up."""

    when: When | None = Field(default=None, description="Absent: when the period ends.")
    proration: Proration = "prorate"


class Manager(Body):
    """Who manages the team from now on."""

    member: Member


@router.get("", response_model=m.TeamFound, responses=problem_responses(m.GetTeam))
async def team(caller: ReadCaller, services: ServiceClientDep, team_id: TeamId = None) -> m.TeamFound:
    """The team: seats bought, taken and free, and who manages it."""
    return m.TeamFound(team=await find_team(services, caller, team_id))


@router.put(
    "/seats/count", response_model=m.TeamFound, responses=problem_responses(m.ChangeSeatCount, m.GetTeam)
)
async def count(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: Count,
    team_id: TeamId = None,
) -> Response:
    """Buy more seats or fewer; `preview` says beforehand what it costs."""
    target = await find_team(services, caller, team_id)
    command = command_for(m.ChangeSeatCount, caller, command_id, body, team_id=target.team_id)
    return await services.respond(command)


@router.post(
    "/seats/remove-unused",
    response_model=m.TeamFound,
    responses=problem_responses(m.RemoveUnusedSeats, m.GetTeam),
)
async def remove_unused(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: RemoveUnused | None = None,
    team_id: TeamId = None,
) -> Response:
    """Keep as many seats as are taken."""
    target = await find_team(services, caller, team_id)
    command = command_for(m.RemoveUnusedSeats, caller, command_id, body, team_id=target.team_id)
    return await services.respond(command)


@router.get(
    "/seats/preview", response_model=m.SeatChangePreview, responses=problem_responses(m.PreviewSeatChange)
)
async def preview(
    caller: ReadCaller,
    services: ServiceClientDep,
    quantity: Quantity,
    when: When | None = None,
    proration: Proration = "prorate",
    team_id: TeamId = None,
) -> Response:
    """What another number of seats would cost; nothing is changed."""
    target = await find_team(services, caller, team_id)
    question = m.PreviewSeatChange(team_id=target.team_id, quantity=quantity, when=when, proration=proration)
    return await services.respond(question)


@router.get(
    "/seats/payments", response_model=m.PaymentsOfMembers, responses=problem_responses(m.MemberPayments)
)
async def payments(
    caller: ReadCaller,
    services: ServiceClientDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    team_id: TeamId = None,
) -> Response:
    """What each seat costs in the period that runs."""
    target = await find_team(services, caller, team_id)
    return await services.respond(m.MemberPayments(team_id=target.team_id, limit=limit, cursor=cursor))


@router.put(
    "/manager", response_model=m.TeamFound, responses=problem_responses(m.TransferBillingManager, m.GetTeam)
)
async def transfer(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: Manager,
    team_id: TeamId = None,
) -> Response:
    """Have somebody else manage the team."""
    target = await find_team(services, caller, team_id)
    command = command_for(m.TransferBillingManager, caller, command_id, body, team_id=target.team_id)
    return await services.respond(command)
