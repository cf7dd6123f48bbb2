"""A notification to be written: its kind, cause, recipient and facts."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tallystick.messages.notifications import Kind

STALE_AFTER = timedelta(hours=24)
"""What happened longer ago is not mailed any more: after an outage, or when the feed is repeated."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A notification to be written, unless there is one of its kind, cause and recipient."""

    kind: Kind
    cause: str
    recipient: str
    """Customer token, seat id or address."""
    customer: str | None
    """Token of the customer that it is about."""
    facts: dict[str, Any] = field(default_factory=dict)


def is_stale(happened_at: datetime, now: datetime) -> bool:
    """Whether something happened too long ago to be mailed."""
    return now - happened_at > STALE_AFTER


def message_id(draft: Draft, domain: str) -> str:
    """Make the `Message-ID` of a notification: the same for the same kind, cause and recipient."""
    digest = hashlib.sha256("\x00".join((draft.kind, draft.cause, draft.recipient)).encode()).hexdigest()
    return f"<{digest[:32]}.{draft.kind}@{domain}>"
