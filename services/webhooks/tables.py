"""The tables of this service: Stripe's events as they came, replays, how far reconciliation has come."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """What every row of this service derives from; a class of its own, so that type checkers can follow."""

    metadata = service_metadata("webhooks")
    type_annotation_map = TYPES


class StripeEvent(Row):
    """One event of Stripe's, payload and all."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        Index("ix_stripe_events_received_at_event_id", "received_at", "event_id"),
        Index("ix_stripe_events_type_received_at_event_id", "type", "received_at", "event_id"),
        # What an operator looks for is what is not done; that is little, however large the table.
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
    """How far a replay has come, so that one which a crash interrupted goes on where it was."""

    __tablename__ = "replays"

    command_id: Mapped[str] = mapped_column(primary_key=True)
    after_received_at: Mapped[datetime | None]
    after_event_id: Mapped[str | None]
    replayed: Mapped[int] = mapped_column(server_default=text("0"))


class ReconciliationProgress(Row):
    """The moment up to which Stripe's own list of events has been compared with ours; one row at most."""

    __tablename__ = "reconciled"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    until: Mapped[datetime]
