"""Invitations: how long they are good, what is kept of their tokens, and who may use one."""

import hashlib
from datetime import timedelta

from services.seats.domain.email_address import is_same_email
from services.seats.domain.rule_violation import RuleViolation
from tallystick.messages.base import Customer

INVITATION_LIFETIME = timedelta(days=7)


def hash_token(token: str) -> bytes:
    """What is stored of a token. It has 256 unguessable bits, so that a plain hash serves."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def require_recipient(
    *, email: str | None, member: Customer | None, claimed_by: Customer, claimed_email: str | None
) -> None:
    """Refuse with `email_mismatch` whoever an invitation is not meant for."""
    if member is not None and member != claimed_by:
        raise RuleViolation("email_mismatch", "This invitation is for somebody else.")
    if email is not None and claimed_email is not None and not is_same_email(claimed_email, email):
        raise RuleViolation("email_mismatch", "This invitation was sent to another address.")


def invitation_invalid() -> RuleViolation:
    """The one answer to every token that invites nobody (any more)."""
    return RuleViolation(
        "invitation_invalid", "This invitation is not valid, or no longer. Ask for a new one."
    )
