"""Who may look at an invitation, and who may claim it, as far as the gateway can tell.

The token in a link proves that somebody has seen the mail, not who that is: mails are forwarded, and links
end up in histories. So the address is half hidden from whoever has no session, and a seat that was offered
to an address is for a caller whose address the host application has proved.
"""

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from tallystick.messages.seats import Invitation

HIDDEN = "•••"
UNVERIFIED = (
    "This invitation is for an email address. The host application has to put the address that it has proved "
    "into the caller's token, as `email`."
)


def half_hidden(email: str) -> str:
    """An address that its owner recognises and nobody else can write to: `m•••@e•••.com`."""
    local, _, domain = email.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{local[:1]}{HIDDEN}@{(name or ending)[:1]}{HIDDEN}{dot}{ending if dot else ''}"


def shown_to(caller: Caller | None, invitation: Invitation) -> Invitation:
    """An invitation as a caller may see it."""
    if caller is not None or invitation.email is None:
        return invitation
    return invitation.model_copy(update={"email": half_hidden(invitation.email)})


def check_address(caller: Caller, invitation: Invitation) -> None:
    """Refuse a claim by somebody who has not proved to be meant. Raises ProblemError."""
    if invitation.email is not None and caller.email is None and invitation.member != caller.person:
        raise ProblemError("email_unverified", UNVERIFIED)
