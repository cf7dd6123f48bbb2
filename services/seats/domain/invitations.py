"""Invitations: their tokens, how long they are good, and who may use one.

A token is not stored and not random: it is derived from a secret of the installation, the command that made
the invitation and the seat. So a command that is repeated shows the same token again, and whoever sends the
mail, and holds the secret, makes it from the event.
"""

import base64
import hashlib
import hmac
from datetime import timedelta

from services.seats.domain.addresses import is_same
from services.seats.domain.refusals import Refused
from tallystick.messages.base import Customer

INVITATION_LIFETIME = timedelta(days=7)
_PURPOSE = b"tallystick invitation\x00"
"""So that the same secret, used for something else, never makes the same bytes."""


def token_for(secret: bytes, command_id: str, seat_id: str) -> str:
    """The token of the invitation to a seat that a command made: 32 bytes, 43 characters."""
    # The id of a seat has no NUL, so where it ends is unambiguous.
    message = _PURPOSE + seat_id.encode() + b"\x00" + command_id.encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, message, "sha256")).decode().rstrip("=")


def hash_of(token: str) -> bytes:
    """What is stored of a token. It has 256 unguessable bits, so that a plain hash serves."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def refuse_others(
    *, email: str | None, member: Customer | None, claimed_by: Customer, claimed_email: str | None
) -> None:
    """Refuse with `email_mismatch` whoever an invitation is not meant for."""
    if member is not None and member != claimed_by:
        raise Refused("email_mismatch", "This invitation is for somebody else.")
    if email is not None and claimed_email is not None and not is_same(claimed_email, email):
        raise Refused("email_mismatch", "This invitation was sent to another address.")


def invalid() -> Refused:
    """The one answer to every token that invites nobody (any more)."""
    return Refused("invitation_invalid", "This invitation is not valid, or no longer. Ask for a new one.")
