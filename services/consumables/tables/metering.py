"""What of the daily usage was handed to Stripe's meters, and what is on its way."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row


class MeteredDayRow(Row):
    """How much of a customer's usage of one day is in readings."""

    __tablename__ = "metered_days"
    __table_args__ = ({"comment": "How much of each day's usage is in readings for Stripe's meters."},)

    customer: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class ReadingRow(Row):
    """Usage that Stripe's meter is told of once, by this id."""

    __tablename__ = "readings"
    __table_args__ = (
        Index("ix_readings_pending", "batch", postgresql_where=text("status = 'pending'")),
        Index("ix_readings_created_at", "created_at"),
        {"comment": "Usage handed to Stripe's meters, each reading once, and what became of it."},
    )

    reading_id: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[str]
    """The id of the command it goes with."""
    customer: Mapped[str]
    feature: Mapped[str]
    meter: Mapped[str]
    quantity: Mapped[int]
    used_at: Mapped[datetime]
    """The last moment of its day, or that of the report."""
    status: Mapped[str]
    """`pending`, then `recorded` or `skipped`."""
    reason: Mapped[str | None]
    """Why it was skipped."""
    created_at: Mapped[datetime]
