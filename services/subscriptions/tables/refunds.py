"""Refunds and disputes of paid invoices."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow


class RefundRow(Row):
    """A refund; it is written before Stripe makes it, so that two at once cannot exceed what was paid."""

    __tablename__ = "refunds"
    __table_args__ = (
        Index("ix_refunds_invoice", "invoice_id"),
        Index("ix_refunds_customer", "customer", "refund_id"),
    )

    refund_id: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey(InvoiceRow.invoice_id))
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    requested_by: Mapped[str | None]
    stripe_refund_id: Mapped[str | None] = mapped_column(unique=True)
    """Null until Stripe has made it."""
    created_at: Mapped[datetime]


class DisputeRow(Row):
    """A dispute of an invoice's payment."""

    __tablename__ = "disputes"
    __table_args__ = (
        Index("ix_disputes_invoice", "invoice_id"),
        Index("ix_disputes_customer", "customer", "dispute_id"),
    )

    dispute_id: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey(InvoiceRow.invoice_id))
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    respond_by: Mapped[datetime | None]
    stripe_dispute_id: Mapped[str] = mapped_column(unique=True)
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
