"""Invitations' tokens, for whoever sends the mails: made from the events, which never hold one.

A token is not stored and not random: it is derived from a secret of the installation (`INVITATION_SECRET`),
the command that made the invitation and the seat. So a command that is repeated shows the same token again.
"""

import base64
import hmac
from functools import lru_cache

from tallystick.messages.seats.snapshots import SeatEvent

INVITING_EVENTS = ("assigned", "invitationResent", "replaced")
"""The events of a seat that make an invitation, while the seat is pending."""
_PURPOSE = b"tallystick invitation\x00"
"""So that the same secret, used for something else, never makes the same bytes."""


def invitation_token(secret: bytes, command_id: str, seat_id: str) -> str:
    """The token of the invitation to a seat that a command made: 32 bytes, 43 characters."""
    # The id of a seat has no NUL, so where it ends is unambiguous.
    making = _keyed(secret).copy()
    making.update(_PURPOSE + seat_id.encode() + b"\x00" + command_id.encode())
    return base64.urlsafe_b64encode(making.digest()).decode().rstrip("=")


@lru_cache(maxsize=1)
def _keyed(secret: bytes) -> hmac.HMAC:
    """What all tokens of a secret begin with; half of the time that a token takes."""
    return hmac.new(secret, digestmod="sha256")


def token_told(secret: bytes, name: str, event: SeatEvent) -> str | None:
    """The token of the invitation that an event tells of; None where it tells of none.

    `name` is the event's, without its version: `assigned`.
    """
    if name not in INVITING_EVENTS or event.seat.status != "pending" or event.seat.expires_at is None:
        return None
    return invitation_token(secret, event.caused_by, event.seat.seat_id)
