"""Sellers' connected accounts."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.payouts.tables.base import Row


class AccountRow(Row):
    """A seller's account at Stripe; a disconnected one is kept beside its successor."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index(
            "uq_accounts_customer", "customer", unique=True, postgresql_where=text("disconnected_at IS NULL")
        ),
        Index("ix_accounts_customer_payout_account_id", "customer", "payout_account_id"),
        Index("uq_accounts_stripe_account_id", "stripe_account_id", unique=True),
        Index(
            "ix_accounts_next_payout_at", "next_payout_at", postgresql_where=text("disconnected_at IS NULL")
        ),
        CheckConstraint("(version = 0) = (stripe_account_id IS NULL)", name="told_once_opened"),
        CheckConstraint("hold_days BETWEEN 0 AND 90", name="hold_days"),
        CheckConstraint("every IN ('day', 'week', 'month', 'manual')", name="every"),
        CheckConstraint("minimum >= 0", name="minimum"),
    )

    payout_account_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    country: Mapped[str]
    email: Mapped[str | None]
    opened_by: Mapped[str]
    """The id of the command that opens it; until Stripe has answered there is no `stripe_account_id`."""
    stripe_account_id: Mapped[str | None]
    default_currency: Mapped[str | None]
    details_submitted: Mapped[bool]
    charges_enabled: Mapped[bool]
    payouts_enabled: Mapped[bool]
    requirements: Mapped[dict[str, Any]]
    hold_days: Mapped[int]
    every: Mapped[str]
    minimum: Mapped[int]
    minimum_currency: Mapped[str | None]
    """The currency that `minimum` is for; null: every currency."""
    next_payout_at: Mapped[datetime | None]
    last_bank_payout: Mapped[dict[str, Any] | None]
    bank_payout_key: Mapped[str | None]
    """Orders events about payouts to the bank: when the payout was made, and how far it is."""
    read_at: Mapped[datetime | None]
    """When the state was last asked of Stripe; an answer to an earlier question is not applied."""
    created_at: Mapped[datetime]
    disconnected_at: Mapped[datetime | None]
