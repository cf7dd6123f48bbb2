"""Seats as plain data, for inserting and emitting hundreds of them without ORM objects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Seat:
    """The fields of a seat, named and typed like the columns of its table."""

    seat_id: str
    team_id: str
    subscription_id: str
    customer: str
    """The token of the customer that pays for the team."""
    email: str | None
    member: str | None
    """The customer token of the member."""
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
