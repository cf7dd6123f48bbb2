"""Checks who may see an invitation's address and who may claim its seat.

An invitation token does not identify a person: mails are forwarded, and links end up in browser histories.
Therefore the address is masked for requests without a caller, and a seat offered to an address can only be
claimed by a caller whose address the host application has verified.
"""

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from tallystick.messages.seats import Invitation

MASK = "•••"
UNVERIFIED = (
    "This invitation is for an email address. The host application has to put the address that it has proved "
    "into the caller's token, as `email`."
)


def mask_email(email: str) -> str:
    """Mask an address so that its owner recognises it and nobody else can write to it: `m•••@e•••.com`."""
    local, _, domain = email.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{local[:1]}{MASK}@{(name or ending)[:1]}{MASK}{dot}{ending if dot else ''}"


def visible_invitation(caller: Caller | None, invitation: Invitation) -> Invitation:
    """Return an invitation as a caller may see it."""
    if caller is not None or invitation.email is None:
        return invitation
    return invitation.model_copy(update={"email": mask_email(invitation.email)})


def check_email_verified(caller: Caller, invitation: Invitation) -> None:
    """Check that the caller is the invited person or has a verified address. Raises ProblemError."""
    if invitation.email is not None and caller.email is None and invitation.member != caller.person:
        raise ProblemError("email_unverified", UNVERIFIED)
