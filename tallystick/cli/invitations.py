"""`invitations`: print each invitation's link, for development; a product sends them by email instead."""

import asyncio
import os
from typing import Annotated

import typer

from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import WrongUsage, output
from tallystick.messages.seats import SeatEvent, token_told

SECRET_VARIABLE = "INVITATION_SECRET"


def invitations(
    link: Annotated[str, typer.Option(help="URL to which the token is appended.")] = "",
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Print the recipient and link of each seat invitation until Ctrl-C. Needs INVITATION_SECRET."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise WrongUsage(f"{SECRET_VARIABLE} is not set; the tokens are computed from it.")
    asyncio.run(_show(locate(nats, endpoints), secret.encode(), link))


async def _show(place: Place, secret: bytes, link: str) -> None:
    async with place.connect() as client, client.events(entity="seat", check_versions=False) as feed:
        async for event in feed:
            if not isinstance(event.model, SeatEvent):
                continue
            token = token_told(secret, event.event, event.model)
            if token is not None:
                output.print(
                    f"{_recipient(event.model)} is invited: {link}{token}", soft_wrap=True, markup=False
                )


def _recipient(event: SeatEvent) -> str:
    seat = event.seat
    return seat.email or (f"user {seat.member.id}" if seat.member else seat.seat_id)
