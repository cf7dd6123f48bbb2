"""The tables of this service: stored Stripe events, and the progress of replays and reconciliation."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("webhooks")
    type_annotation_map = TYPES


class StripeEvent(Row):
    """A Stripe event with its payload."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        Index("ix_stripe_events_received_at_event_id", "received_at", "event_id"),
        Index("ix_stripe_events_type_received_at_event_id", "type", "received_at", "event_id"),
        # Operators look for events that are not done, which are few even in a large table.
        Index(
            "ix_stripe_events_undone",
            "status",
            "received_at",
            "event_id",
            postgresql_where=text("status IN ('received', 'failed')"),
        ),
        CheckConstraint("status IN ('received', 'applied', 'failed', 'ignored')", name="status"),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    status: Mapped[str]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    payload: Mapped[bytes]


class ReplayProgress(Row):
    """The progress of a replay, from which it continues after a crash."""

    __tablename__ = "replays"

    command_id: Mapped[str] = mapped_column(primary_key=True)
    after_received_at: Mapped[datetime | None]
    after_event_id: Mapped[str | None]
    replayed: Mapped[int] = mapped_column(server_default=text("0"))


class ReconciliationProgress(Row):
    """The time up to which stored events have been compared with Stripe's list; at most one row."""

    __tablename__ = "reconciled"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    until: Mapped[datetime]
