"""`/api/v1/seats`: for who was invited: looking at an invitation, and taking the seat."""

from fastapi import APIRouter, Path, Response
from pydantic import Field

from services.gateway.authentication import CommandKey, Reading, caller_token
from services.gateway.bodies import Body
from services.gateway.openapi import refusals
from services.gateway.parts import Services
from services.gateway.problems import Refused
from tallystick.messages import seats as m
from tallystick.messages.seats.words import Address, Token

router = APIRouter(prefix="/api/v1/seats", tags=["invitations"])


class Claim(Body):
    """The invitation, and the address that the caller has proved to be theirs.

    An `email` in the caller's token counts instead.
    """

    token: Token
    email: Address | None = Field(default=None, description="Must be the invited one, where one is.")


@router.get(
    "/invitations/{token}",
    response_model=m.InvitationFound,
    responses=refusals(codes=["not_found"], signed_in=False),
)
async def invitation(billing: Services, token: str = Path(max_length=200)) -> Response:
    """What a token invites to; looking changes nothing. Dead and invented tokens are answered alike."""
    try:
        return await billing.respond(m.GetInvitation(token=token))
    except Refused as refused:
        if refused.code == "invitation_invalid":
            raise Refused("not_found", refused.detail) from None
        raise


@router.post("/claim", response_model=m.SeatClaimed, responses=refusals(m.ClaimSeat, codes=["forbidden"]))
async def claim(caller: Reading, billing: Services, command_id: CommandKey, body: Claim) -> Response:
    """Take the seat one was invited to: the person in the caller's token has it then."""
    if caller.person.type != "user":
        raise Refused("forbidden", "A seat is a person's: the token must name one as `member`.")
    # What the host application has proved counts more than what a browser says.
    email = caller.email or body.email
    fields = {"email": email} if email is not None else {}
    command = m.ClaimSeat(
        command_id=command_id,
        requested_by=caller_token(caller),
        token=body.token,
        member=caller.person,
        **fields,
    )
    return await billing.respond(command)
