"""The forms of the team: inviting, replacing and revoking seats."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_team
from services.gateway.commands import command_for
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_page import InvitationResults, render_billing_page
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.forms import FormCommandId, LongText, Text, redirect_to_billing
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats as m
from tallystick.messages.seats.types import ASSIGN_MAX_SEATS

router = APIRouter(prefix="/billing/seats", include_in_schema=False, route_class=BillingFormRoute)

SeatId = Annotated[str, Form(max_length=100)]


@router.post("/invite")
async def invite(
    request: Request, caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, emails: LongText
) -> Response:
    """Invite people; the page shows each invitation link once, and the error of each failed address."""
    addresses = emails.replace(",", " ").replace(";", " ").split()
    if not 1 <= len(addresses) <= ASSIGN_MAX_SEATS:
        raise ProblemError("too_many_addresses" if addresses else "no_address")
    team = await find_team(page.services, caller)
    command = command_for(
        m.AssignSeats,
        caller,
        command_id,
        team_id=team.team_id,
        seats=[m.SeatToAssign(email=address) for address in addresses],
    )
    assigned = await page.services.request(command)
    links = [(one.seat.email or "", _claim_url(page, one.invitation_token)) for one in assigned.assigned]
    errors = [(addresses[error.index], ProblemError(error.code, error.message)) for error in assigned.errors]
    remaining = {"emails": "\n".join(address for address, _ in errors)}
    return await render_billing_page(
        request, caller, page, form_values=remaining, invited=InvitationResults(links, errors)
    )


@router.post("/resend")
async def resend(
    request: Request, caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, seat_id: SeatId
) -> Response:
    """Send an invitation again; the page shows the new link once."""
    sent = await page.services.request(command_for(m.ResendInvitation, caller, command_id, seat_id=seat_id))
    links = [(sent.seat.email or "", _claim_url(page, sent.invitation_token))]
    return await render_billing_page(request, caller, page, invited=InvitationResults(links, []))


@router.post("/revoke")
async def revoke(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, seat_id: SeatId
) -> Response:
    """Revoke a seat."""
    await page.services.request(command_for(m.RevokeSeat, caller, command_id, seat_id=seat_id))
    return redirect_to_billing("seat_revoked", "team")


@router.post("/replace")
async def replace(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    seat_id: SeatId,
    email: Text,
) -> Response:
    """Give a seat to somebody else, who is invited."""
    command = command_for(m.ReplaceSeat, caller, command_id, seat_id=seat_id, email=email.strip())
    replaced = await page.services.request(command)
    links = [(replaced.seat.email or "", _claim_url(page, replaced.invitation_token))]
    return await render_billing_page(request, caller, page, invited=InvitationResults(links, []))


def _claim_url(page: PageContext, token: str | None) -> str | None:
    return page.url(f"/claim/{token}") if token else None
