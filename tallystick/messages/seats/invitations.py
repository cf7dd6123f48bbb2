"""Invitation tokens, computed from seat events by the application that sends the emails.

Events never contain a token. A token is neither stored nor random: it is derived from a secret of the
installation (`INVITATION_SECRET`), the id of the command that made the invitation, and the seat id. A
repeated command therefore returns the same token.
"""

import base64
import hmac
from functools import lru_cache

from tallystick.messages.seats.snapshots import SeatEvent

INVITING_EVENTS = ("assigned", "invitationResent", "replaced")
"""Seat events that create an invitation while the seat is pending."""
_PURPOSE = b"tallystick invitation\x00"
"""Domain separation, in case the same secret is used for something else."""


def invitation_token(secret: bytes, command_id: str, seat_id: str) -> str:
    """Compute the token of the invitation that a command made for a seat: 32 bytes, 43 characters."""
    # A seat id contains no NUL, so the separator is unambiguous.
    digest = _keyed(secret).copy()
    digest.update(_PURPOSE + seat_id.encode() + b"\x00" + command_id.encode())
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


@lru_cache(maxsize=1)
def _keyed(secret: bytes) -> hmac.HMAC:
    """Return a cached HMAC with the key applied, which halves the time per token."""
    return hmac.new(secret, digestmod="sha256")


def token_told(secret: bytes, name: str, event: SeatEvent) -> str | None:
    """Compute the token of the invitation that an event announces; None if it announces none.

    `name` is the event name without its version: `assigned`.
    """
    if name not in INVITING_EVENTS or event.seat.status != "pending" or event.seat.expires_at is None:
        return None
    return invitation_token(secret, event.caused_by, event.seat.seat_id)
