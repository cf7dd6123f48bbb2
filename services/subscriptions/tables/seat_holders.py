"""What is known of teams and seats, from the events of `seats`."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row


class KnownTeamRow(Row):
    """A team, as its newest event says, and how far its members' entitlements follow that."""

    __tablename__ = "known_teams"
    __table_args__ = (Index("ix_known_teams_subscription", "subscription_id"),)

    team_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    has_access: Mapped[bool]
    """Whether it is open and not suspended."""
    seats_in_use: Mapped[int]
    terms: Mapped[str | None]
    """A fingerprint of what its seats gave when every holder was last brought in line; null: not yet."""
    terms_revision: Mapped[int] = mapped_column(server_default=text("0"))
    """Counts the times that bringing them in line began."""


class KnownSeatRow(Row):
    """A seat, as its newest event says."""

    __tablename__ = "known_seats"
    __table_args__ = (
        Index("ix_known_seats_claimed", "team_id", "seat_id", postgresql_where=text("claimed")),
        Index("ix_known_seats_member", "member", postgresql_where=text("claimed")),
    )

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    team_id: Mapped[str]
    member: Mapped[str | None]
    """The token of whoever holds it or, while it is pending, is meant to."""
    claimed: Mapped[bool]
    multiplier: Mapped[int]
