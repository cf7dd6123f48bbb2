"""The table of overrides, ended ones included, with who set them and why."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row
from services.subscriptions.tables.subscriptions import CustomerRow

_IN_FORCE = text("ended_at IS NULL")


class OverrideRow(Row):
    """An override; at most one is in force for each customer and feature."""

    __tablename__ = "overrides"
    __table_args__ = (
        Index("ix_overrides_in_force", "customer", "feature", unique=True, postgresql_where=_IN_FORCE),
        Index("ix_overrides_until", "until", postgresql_where=_IN_FORCE),
    )

    override_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    feature: Mapped[str]
    allowed: Mapped[bool]
    quantity: Mapped[int | None]
    until: Mapped[datetime | None]
    reason: Mapped[str]
    set_at: Mapped[datetime]
    set_by: Mapped[str]
    """The id of the command that set it."""
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
