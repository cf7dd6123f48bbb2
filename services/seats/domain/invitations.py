"""Invitations: their lifetime, the stored hash of their tokens, and who may accept one."""

import hashlib
from datetime import timedelta

from services.seats.domain.email_address import is_same_email
from services.seats.domain.rule_violation import RuleViolation
from tallystick.messages.base import Customer

INVITATION_LIFETIME = timedelta(days=7)


def hash_token(token: str) -> bytes:
    """Return the stored hash of a token. A token has 256 random bits, so a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def require_recipient(
    *, email: str | None, member: Customer | None, claimed_by: Customer, claimed_email: str | None
) -> None:
    """Raise RuleViolation `email_mismatch` unless the claim matches the member and address invited."""
    if member is not None and member != claimed_by:
        raise RuleViolation("email_mismatch", "This invitation is for somebody else.")
    if email is not None and claimed_email is not None and not is_same_email(claimed_email, email):
        raise RuleViolation("email_mismatch", "This invitation was sent to another address.")


def invitation_invalid() -> RuleViolation:
    """Build the violation for a token without an open invitation; used, revoked and unknown look alike."""
    return RuleViolation(
        "invitation_invalid", "This invitation is not valid, or no longer. Ask for a new one."
    )
