"""The table of add-ons."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row
from services.subscriptions.tables.subscriptions import CustomerRow


class AddOnRow(Row):
    """An add-on; its price, period and features are those of its subscription."""

    __tablename__ = "add_ons"
    __table_args__ = (Index("ix_add_ons_customer", "customer", "add_on_id"),)

    add_on_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    version: Mapped[int]
    """0 until it is paid for and its first event is emitted."""
    product: Mapped[str]
    price: Mapped[str]
    details: Mapped[dict[str, Any]]
    status: Mapped[str]
    """The status of its subscription."""
    cancel_at: Mapped[datetime | None]
    subscription_id: Mapped[str | None] = mapped_column(unique=True)
    """Null while its checkout is open. No foreign key: it is set before the subscription is written."""
    plan_end_at: Mapped[datetime | None]
    """The end of the customer's plan that it was set to; null: its end is its own, or there is none."""
    own_end_at: Mapped[datetime | None]
    """The end it had before; it comes back if the plan goes on."""
    plan_end_credit: Mapped[bool | None]
    """Whether paid time after the plan's end is credited."""
    created_at: Mapped[datetime]
