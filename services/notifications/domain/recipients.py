"""Who gets a notification: the address, the language, and whether they want it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.messages.notifications import MANDATORY_KINDS, SuppressionReason

UNKNOWN_FOR = timedelta(seconds=60)
"""How long a notification waits for the event that tells its recipient's address: events of different
entities come in any order."""
INVITING_KINDS = frozenset({"invitation", "invitation_reminder"})


@dataclass(frozen=True, slots=True)
class Party:
    """What is known of a recipient."""

    key: str
    """Customer token or `email:<address>`: the key of their preferences."""
    email: str | None
    name: str | None = None
    language: str | None = None
    kinds_off: frozenset[str] = frozenset()
    has_bounced: bool = False
    is_known: bool = True
    """Whether the event that tells their address has arrived."""


@dataclass(frozen=True, slots=True)
class Suppress:
    """The notification is not sent."""

    reason: SuppressionReason


@dataclass(frozen=True, slots=True)
class Wait:
    """The recipient is not known yet."""


@dataclass(frozen=True, slots=True)
class Send:
    """The notification is sent to this address."""

    email: str


def decide(
    kind: str, party: Party, *, created_at: datetime, now: datetime, is_forced: bool
) -> Send | Suppress | Wait:
    """Decide whether a notification is sent, and where.

    `is_forced`: somebody asked for this very mail, so preferences do not count; a bounce still does.
    """
    if party.email is None:
        waits = not party.is_known and now - created_at < UNKNOWN_FOR
        return Wait() if waits else Suppress("no_address")
    if kind in party.kinds_off and kind not in MANDATORY_KINDS and not is_forced:
        return Suppress("preferences")
    if party.has_bounced:
        return Suppress("bounced")
    return Send(party.email)
