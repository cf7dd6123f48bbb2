"""What the forms of the team's card do: inviting, passing on and taking back seats, and buying more."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from services.gateway.auth.authentication import Managing
from services.gateway.auth.ownership import team_of
from services.gateway.commands import command_for
from services.gateway.pages.billing_forms import When, proration
from services.gateway.pages.billing_page import Invited, show
from services.gateway.pages.dependencies import PageParts, Shown
from services.gateway.pages.forms import FormCommandId, LongText, Text, back, number
from services.gateway.pages.page_route import ActionRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats as m
from tallystick.messages.seats.types import ASSIGN_MAX_SEATS

router = APIRouter(prefix="/billing/seats", include_in_schema=False, route_class=ActionRoute)

SeatId = Annotated[str, Form(max_length=100)]


@router.post("/invite")
async def invite(
    request: Request, caller: Managing, shown: Shown, command_id: FormCommandId, emails: LongText
) -> Response:
    """Invite one or many; the page shows each invitation once, and who could not be invited and why."""
    addresses = emails.replace(",", " ").replace(";", " ").split()
    if not 1 <= len(addresses) <= ASSIGN_MAX_SEATS:
        raise ProblemError("too_many_addresses" if addresses else "no_address")
    team = await team_of(shown.billing, caller)
    command = command_for(
        m.AssignSeats,
        caller,
        command_id,
        team_id=team.team_id,
        seats=[m.SeatToAssign(email=address) for address in addresses],
    )
    assigned = await shown.billing.ask(command)
    links = [(one.seat.email or "", _link(shown, one.invitation_token)) for one in assigned.assigned]
    refused = [(addresses[error.index], ProblemError(error.code, error.message)) for error in assigned.errors]
    still_to_do = {"emails": "\n".join(address for address, _ in refused)}
    return await show(request, caller, shown, typed=still_to_do, invited=Invited(links, refused))


@router.post("/resend")
async def resend(
    request: Request, caller: Managing, shown: Shown, command_id: FormCommandId, seat_id: SeatId
) -> Response:
    """Invite again; the page shows the new invitation once."""
    sent = await shown.billing.ask(command_for(m.ResendInvitation, caller, command_id, seat_id=seat_id))
    links = [(sent.seat.email or "", _link(shown, sent.invitation_token))]
    return await show(request, caller, shown, invited=Invited(links, []))


@router.post("/revoke")
async def revoke(caller: Managing, shown: Shown, command_id: FormCommandId, seat_id: SeatId) -> Response:
    """Take a seat back."""
    await shown.billing.ask(command_for(m.RevokeSeat, caller, command_id, seat_id=seat_id))
    return back("seat_revoked", "team")


@router.post("/replace")
async def replace(
    request: Request,
    caller: Managing,
    shown: Shown,
    command_id: FormCommandId,
    seat_id: SeatId,
    email: Text,
) -> Response:
    """Pass a seat on to somebody else, who is invited."""
    command = command_for(m.ReplaceSeat, caller, command_id, seat_id=seat_id, email=email.strip())
    replaced = await shown.billing.ask(command)
    links = [(replaced.seat.email or "", _link(shown, replaced.invitation_token))]
    return await show(request, caller, shown, invited=Invited(links, []))


@router.post("/count")
async def count(
    caller: Managing, shown: Shown, command_id: FormCommandId, quantity: Text, when: When, seen: Text
) -> Response:
    """Have more seats or fewer, as the preview showed it; `seen` is how many there were then."""
    team = await team_of(shown.billing, caller)
    wanted = number(quantity)
    # Where it has come about already, the form has been sent twice.
    if seen != str(team.quantity) and wanted not in (team.quantity, team.scheduled_quantity):
        raise ProblemError("changed_meanwhile")
    command = command_for(
        m.ChangeSeatCount,
        caller,
        command_id,
        team_id=team.team_id,
        quantity=wanted,
        when=when,
        proration=proration(when),
    )
    await shown.billing.ask(command)
    return back("seats_changed" if when == "now" else "change_scheduled", "team")


def _link(shown: PageParts, token: str | None) -> str | None:
    return shown.url(f"/claim/{token}") if token else None
