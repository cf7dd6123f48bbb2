"""`/api/v1/seats`: shows an invitation and claims its seat."""

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


class ClaimSeatBody(Body, title="Claim"):
    """The invitation's token. The caller's verified address is the `email` in their bearer token."""

    token: Token
    email: Address | None = Field(
        default=None,
        description="Must be the invited address, if there is one. It is not a proof of the address.",
    )


@router.get(
    "/invitations/{token}",
    response_model=m.InvitationFound,
    responses=problem_responses(codes=["not_found"], signed_in=False),
)
async def invitation(
    request: Request, state: StateDep, services: ServiceClientDep, token: str = Path(max_length=200)
) -> m.InvitationFound:
    """Show an invitation. Invalid and expired tokens get the same response.

    Without a bearer token or a session the invited address is masked.
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
    caller: ReadCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ClaimSeatBody
) -> Response:
    """Claim the seat of an invitation for the person in the caller's token."""
    if caller.person.type != "user":
        raise ProblemError("forbidden", "A seat is a person's: the token must name one as `member`.")
    try:
        check_email_verified(caller, (await services.request(m.GetInvitation(token=body.token))).invitation)
    except ProblemError as error:
        if (
            error.code != "invitation_invalid"
        ):  # that is for the command to say, which may have been carried out
            raise
    # The address that the host application has verified takes precedence over the one in the body.
    email = caller.email or body.email
    fields: dict[str, Any] = {"email": email} if email is not None else {}
    command = command_for(m.ClaimSeat, caller, command_id, token=body.token, member=caller.person, **fields)
    return await services.respond(command)
