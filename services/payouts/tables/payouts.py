"""Payouts to sellers."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.payouts.tables.base import Row


class PayoutRow(Row):
    """A payout: its amount left the seller's balance when the row was made."""

    __tablename__ = "payouts"
    __table_args__ = (
        Index("ix_payouts_customer_payout_id", "customer", "payout_id"),
        Index("ix_payouts_status_payout_id", "status", "payout_id"),
        CheckConstraint("status IN ('pending', 'paid', 'failed', 'reversed')", name="status"),
        CheckConstraint("amount > 0 AND amount_reversed BETWEEN 0 AND amount", name="amounts"),
        CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure"),
    )

    payout_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    payout_account_id: Mapped[str]
    stripe_account_id: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[int]
    amount_reversed: Mapped[int]
    status: Mapped[str]
    reference: Mapped[str]
    stripe_transfer_id: Mapped[str | None]
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
