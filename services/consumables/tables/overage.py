"""Tables of units beyond the included ones: what is owed, and the charges for it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row


class OverageRow(Row):
    """What an account owes for a feature in a billing period: the units consumed from its grant."""

    __tablename__ = "overages"
    __table_args__ = (
        # One that has a charge to come: until its period has ended and all of it is charged.
        Index("ix_overages_open", "customer", postgresql_where=text("closed_at IS NULL")),
        Index("ix_overages_account", "account", "feature"),
        CheckConstraint("charged >= 0", name="never_below_zero"),
        {"comment": "Units beyond the included ones, by account, feature and billing period."},
    )

    grant_id: Mapped[str] = mapped_column(primary_key=True)
    """The grant that the units are drawn from: consumed units are owed."""
    account: Mapped[str]
    feature: Mapped[str]
    customer: Mapped[str]
    """The token of the customer who owes them."""
    subscription_id: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    unit_amount: Mapped[int]
    """The price of a unit in the minor unit of `currency`, fixed with the first unit of the period."""
    currency: Mapped[str]
    cap: Mapped[int | None]
    """The most units in the period; null: no cap."""
    charged: Mapped[int] = mapped_column(server_default=text("0"))
    """How many of the units are on a charge that is pending or made."""
    retry_at: Mapped[datetime | None]
    """When a charge that failed is made again."""
    closed_at: Mapped[datetime | None]


class OverageChargeRow(Row):
    """A charge for units beyond the included ones, of one customer in one currency."""

    __tablename__ = "overage_charges"
    __table_args__ = (
        Index("ix_overage_charges_pending", "charge_id", postgresql_where=text("status = 'pending'")),
        Index("ix_overage_charges_customer", "customer", "charge_id"),
        {"comment": "Charges for units beyond the included ones, and what became of them."},
    )

    charge_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    subscription_id: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    """`pending`, then `invoiced` or `failed`."""
    reason: Mapped[str | None]
    invoice_id: Mapped[str | None]
    created_at: Mapped[datetime]


class OverageLineRow(Row):
    """The units of one overage that are on a charge; negative for units refunded after an earlier charge."""

    __tablename__ = "overage_lines"
    __table_args__ = (
        Index("ix_overage_lines_grant", "grant_id"),
        {"comment": "Which units each charge is for."},
    )

    charge_id: Mapped[str] = mapped_column(primary_key=True)
    grant_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]
