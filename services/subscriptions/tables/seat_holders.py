"""Copies of the teams and seats of the `seats` service, kept from its events."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row


class KnownTeamRow(Row):
    """A team as of its newest event, and whether its members' entitlements are up to date."""

    __tablename__ = "known_teams"
    __table_args__ = (Index("ix_known_teams_subscription", "subscription_id"),)

    team_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    has_access: Mapped[bool]
    """Whether it is open and not suspended."""
    seats_in_use: Mapped[int]
    terms: Mapped[str | None]
    """A fingerprint of what its seats granted when all holders were last refreshed; null: not done yet."""
    terms_revision: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of refreshes that have begun."""


class KnownSeatRow(Row):
    """A seat as of its newest event."""

    __tablename__ = "known_seats"
    __table_args__ = (
        Index("ix_known_seats_claimed", "team_id", "seat_id", postgresql_where=text("claimed")),
        Index("ix_known_seats_member", "member", postgresql_where=text("claimed")),
    )

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    team_id: Mapped[str]
    member: Mapped[str | None]
    """The token of its holder or, while it is pending, of the invited user."""
    claimed: Mapped[bool]
    multiplier: Mapped[int]
