"""Tables of the usage that is reported to Stripe's meters."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row


class MeteredDayRow(Row):
    """The usage of a customer's feature on one day that is contained in readings."""

    __tablename__ = "metered_days"
    __table_args__ = ({"comment": "How much of each day's usage is in readings for Stripe's meters."},)

    customer: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class ReadingRow(Row):
    """Usage that is reported to a Stripe meter; the reading's id makes Stripe count it once."""

    __tablename__ = "readings"
    __table_args__ = (
        Index("ix_readings_pending", "batch", postgresql_where=text("status = 'pending'")),
        Index("ix_readings_created_at", "created_at"),
        {"comment": "Usage handed to Stripe's meters, each reading once, and what became of it."},
    )

    reading_id: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[str]
    """The id of the `record_usage` command that contains the reading."""
    customer: Mapped[str]
    feature: Mapped[str]
    meter: Mapped[str]
    quantity: Mapped[int]
    used_at: Mapped[datetime]
    """The last second of the day, or the time of the report if that is earlier."""
    status: Mapped[str]
    """`pending`, then `recorded` or `skipped`."""
    reason: Mapped[str | None]
    """Why it was skipped."""
    created_at: Mapped[datetime]
