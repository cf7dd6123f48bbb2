"""A seat as it stands, apart from where it is kept: hundreds of them are made and told at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Seat:
    """A seat's fields, named and typed as in its table."""

    seat_id: str
    team_id: str
    subscription_id: str
    customer: str
    """Whose team it is, as a token."""
    email: str | None
    member: str | None
    """A customer's token."""
    multiplier: int
    role: str | None
    meta: dict[str, Any]
    invited_at: datetime
    status: str = "pending"
    version: int = 0
    token_hash: bytes | None = None
    expires_at: datetime | None = None
    claimed_at: datetime | None = None
    revoked_at: datetime | None = None
    prorated: bool = False
