"""The ledger of sellers: append-only entries and releases, and the balances that they add up to.

A transaction locks the rows of the balances that it changes, in the order of seller and currency, before it
changes anything else of them.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.payouts.tables.base import Row


class BalanceRow(Row):
    """What a seller has in one currency, in its minor unit."""

    __tablename__ = "seller_balances"
    __table_args__ = (
        CheckConstraint(
            "earned - fee - reversed + adjusted + returned = pending + available + paid_out",
            name="in_balance",
        ),
        CheckConstraint(
            "least(pending, paid_out, earned, fee, reversed, returned) >= 0", name="never_below_zero"
        ),
    )

    customer: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(server_default=text("0"))
    pending: Mapped[int] = mapped_column(server_default=text("0"))
    available: Mapped[int] = mapped_column(server_default=text("0"))
    paid_out: Mapped[int] = mapped_column(server_default=text("0"))
    earned: Mapped[int] = mapped_column(server_default=text("0"))
    fee: Mapped[int] = mapped_column(server_default=text("0"))
    reversed: Mapped[int] = mapped_column(server_default=text("0"))
    adjusted: Mapped[int] = mapped_column(server_default=text("0"))
    returned: Mapped[int] = mapped_column(server_default=text("0"))


class EntryRow(Row):
    """A ledger entry: money that a seller earned, gave back or got. Never changed, never deleted."""

    __tablename__ = "seller_entries"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('earned', 'fee', 'reversed', 'adjusted', 'paid_out', 'returned')", name="kind"
        ),
        CheckConstraint("amount > 0 OR kind = 'adjusted' AND amount <> 0", name="amount"),
        CheckConstraint(
            "pending_change + available_change ="
            " CASE WHEN kind IN ('fee', 'reversed', 'paid_out') THEN -amount ELSE amount END",
            name="adds_up",
        ),
        CheckConstraint("kind NOT IN ('paid_out', 'returned') OR payout_id IS NOT NULL", name="of_a_payout"),
        Index("ix_seller_entries_customer_entry_id", "customer", "entry_id"),
        Index("ix_seller_entries_invoice_id", "invoice_id", postgresql_where=text("invoice_id IS NOT NULL")),
        Index(
            "uq_seller_entries_paid_out",
            "payout_id",
            unique=True,
            postgresql_where=text("kind = 'paid_out'"),
        ),
    )

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    currency: Mapped[str]
    kind: Mapped[str]
    amount: Mapped[int]
    pending_change: Mapped[int]
    available_change: Mapped[int]
    invoice_id: Mapped[str | None]
    product: Mapped[str | None]
    share_percent: Mapped[int | None]
    payout_id: Mapped[str | None]
    available_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    caused_by: Mapped[str]
    occurred_at: Mapped[datetime]


class ReleaseRow(Row):
    """Money that became available, or is held again (negative). Never changed, never deleted."""

    __tablename__ = "seller_releases"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_seller_releases_customer_currency", "customer", "currency"),
    )

    release_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[int]
    invoice_id: Mapped[str | None]
    product: Mapped[str | None]
    caused_by: Mapped[str]
    occurred_at: Mapped[datetime]


class InvoiceRow(Row):
    """What is known of an invoice that sellers have a share of, or that was paid back."""

    __tablename__ = "invoices"

    invoice_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(server_default=text("0"))
    """The version of the newest event that was applied; 0: only the sale is known."""
    currency: Mapped[str | None]
    total: Mapped[int | None]
    """With tax; null until the sale is recorded."""
    refunded: Mapped[int] = mapped_column(server_default=text("0"))
    disputed: Mapped[int] = mapped_column(server_default=text("0"))
    """The amount of disputes that are open or were lost."""
    lost: Mapped[int] = mapped_column(server_default=text("0"))
    """The part of it that was lost: what was disputed when the newest dispute was closed."""
    opened_version: Mapped[int] = mapped_column(server_default=text("0"))
    closed_version: Mapped[int] = mapped_column(server_default=text("0"))
    """The versions of the newest events that a dispute was opened, and closed."""


class ShareRow(Row):
    """What was booked for one product and seller of an invoice, and how much of it is held."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("held >= 0 AND fee >= 0", name="held"),
        CheckConstraint("share_percent BETWEEN 0 AND 100", name="share_percent"),
        Index("ix_shares_due", "available_at", postgresql_where=text("held > 0 AND NOT frozen")),
        Index("ix_shares_customer_currency", "customer", "currency", postgresql_where=text("held > 0")),
    )

    invoice_id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(primary_key=True)
    share_percent: Mapped[int] = mapped_column(primary_key=True)
    currency: Mapped[str]
    net: Mapped[int]
    booked: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    fee: Mapped[int] = mapped_column(server_default=text("0"))
    frozen: Mapped[bool] = mapped_column(server_default=text("false"))
    available_at: Mapped[datetime]
