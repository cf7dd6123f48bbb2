"""`/api/v1/seats`: for who was invited: looking at an invitation, and taking the seat."""

from typing import Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from services.gateway.auth.authentication import ReadCaller, RequestCommandId, identify
from services.gateway.auth.invitation_access import check_email_verified, visible_invitation
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.dependencies import GatewayState, ServiceClientDep, StateDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.schemas import Body
from tallystick.messages import seats as m
from tallystick.messages.seats.types import Address, Token

router = APIRouter(prefix="/api/v1/seats", tags=["invitations"])


class Claim(Body):
    """The invitation. Whose address it was sent to is proved by `email` in the caller's token."""

    token: Token
    email: Address | None = Field(
        default=None, description="Must be the invited one, where one is. It proves nothing by itself."
    )


@router.get(
    "/invitations/{token}",
    response_model=m.InvitationFound,
    responses=problem_responses(codes=["not_found"], signed_in=False),
)
async def invitation(
    request: Request, state: StateDep, services: ServiceClientDep, token: str = Path(max_length=200)
) -> m.InvitationFound:
    """What a token invites to; looking changes nothing. Dead and invented tokens are answered alike.

    Without a token of the host application or a session the address is half hidden.
    """
    try:
        found = (await services.request(m.GetInvitation(token=token))).invitation
        return m.InvitationFound(invitation=visible_invitation(await _caller(request, state), found))
    except ProblemError as error:
        if error.code == "invitation_invalid":
            raise ProblemError("not_found", error.detail) from None
        raise


async def _caller(request: Request, state: GatewayState) -> Caller | None:
    try:
        return await identify(request, state)
    except ProblemError:
        return None


@router.post(
    "/claim",
    response_model=m.SeatClaimed,
    responses=problem_responses(m.ClaimSeat, codes=["forbidden", "email_unverified"]),
)
async def claim(
    caller: ReadCaller, services: ServiceClientDep, command_id: RequestCommandId, body: Claim
) -> Response:
    """Take the seat one was invited to: the person in the caller's token has it then."""
    if caller.person.type != "user":
        raise ProblemError("forbidden", "A seat is a person's: the token must name one as `member`.")
    try:
        check_email_verified(caller, (await services.request(m.GetInvitation(token=body.token))).invitation)
    except ProblemError as error:
        if (
            error.code != "invitation_invalid"
        ):  # that is for the command to say, which may have been carried out
            raise
    # What the host application has proved counts more than what a browser says.
    email = caller.email or body.email
    fields: dict[str, Any] = {"email": email} if email is not None else {}
    command = command_for(m.ClaimSeat, caller, command_id, token=body.token, member=caller.person, **fields)
    return await services.respond(command)
