"""`/api/v1/billing/team`: shows a team to its payer and members; its billing manager changes it."""

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
from tallystick.messages.base import EntityId, Instant, Money
from tallystick.messages.seats.types import Member
from tallystick.messages.subscriptions import Proration, Quantity, When

router = APIRouter(prefix="/api/v1/billing/team", tags=["team"])

TeamId = Annotated[
    EntityId | None,
    Query(description="Absent: the team that the caller pays for, else one they have a seat in."),
]


class ChangeSeatCountBody(Body, title="Count"):
    """The new number of seats."""

    quantity: Quantity
    when: When | None = Field(
        default=None, description="Absent: an increase now, a decrease at the end of the period."
    )
    proration: Proration = "prorate"
    due_now: Money | None = Field(
        default=None, description="The amount of the preview; absent: whatever is due is charged."
    )
    proration_date: Instant | None = Field(default=None, description="That of the preview; absent: now.")


class RemoveUnusedSeatsBody(Body, title="RemoveUnused"):
    """When the unused seats are removed."""

    when: When | None = Field(default=None, description="Absent: at the end of the period.")
    proration: Proration = "prorate"


class TransferManagerBody(Body, title="Manager"):
    """The new billing manager."""

    member: Member


@router.get("", response_model=m.TeamFound, responses=problem_responses(m.GetTeam))
async def team(caller: ReadCaller, services: ServiceClientDep, team_id: TeamId = None) -> m.TeamFound:
    """Show the team with its number of seats and its billing manager."""
    return m.TeamFound(team=await find_team(services, caller, team_id))


@router.put(
    "/seats/count", response_model=m.TeamFound, responses=problem_responses(m.ChangeSeatCount, m.GetTeam)
)
async def count(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: ChangeSeatCountBody,
    team_id: TeamId = None,
) -> Response:
    """Change the number of seats; `preview` shows the cost beforehand."""
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
    body: RemoveUnusedSeatsBody | None = None,
    team_id: TeamId = None,
) -> Response:
    """Reduce the number of seats to those in use."""
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
    """Preview the cost of another number of seats; nothing is changed."""
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
    """List what each seat costs in the current period."""
    target = await find_team(services, caller, team_id)
    return await services.respond(m.MemberPayments(team_id=target.team_id, limit=limit, cursor=cursor))


@router.put(
    "/manager", response_model=m.TeamFound, responses=problem_responses(m.TransferBillingManager, m.GetTeam)
)
async def transfer(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: TransferManagerBody,
    team_id: TeamId = None,
) -> Response:
    """Make another person the billing manager."""
    target = await find_team(services, caller, team_id)
    command = command_for(m.TransferBillingManager, caller, command_id, body, team_id=target.team_id)
    return await services.respond(command)
