"""Inbox and outbox, and connected accounts.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.persistence.migrations import create_plumbing_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "payouts"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    op.create_table(
        "accounts",
        sa.Column("payout_account_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("opened_by", sa.Text, nullable=False),
        sa.Column("stripe_account_id", sa.Text),
        sa.Column("default_currency", sa.Text),
        sa.Column("details_submitted", sa.Boolean, nullable=False),
        sa.Column("charges_enabled", sa.Boolean, nullable=False),
        sa.Column("payouts_enabled", sa.Boolean, nullable=False),
        sa.Column("requirements", JSONB, nullable=False),
        sa.Column("hold_days", sa.BigInteger, nullable=False),
        sa.Column("every", sa.Text, nullable=False),
        sa.Column("minimum", sa.BigInteger, nullable=False),
        sa.Column("minimum_currency", sa.Text),
        sa.Column("next_payout_at", MOMENT),
        sa.Column("last_bank_payout", JSONB),
        sa.Column("bank_payout_key", sa.Text),
        sa.Column("read_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disconnected_at", MOMENT),
        sa.PrimaryKeyConstraint("payout_account_id", name="pk_accounts"),
        sa.CheckConstraint(
            "(version = 0) = (stripe_account_id IS NULL)", name="ck_accounts_told_once_opened"
        ),
        sa.CheckConstraint("hold_days BETWEEN 0 AND 90", name="ck_accounts_hold_days"),
        sa.CheckConstraint("every IN ('day', 'week', 'month', 'manual')", name="ck_accounts_every"),
        sa.CheckConstraint("minimum >= 0", name="ck_accounts_minimum"),
        schema=SCHEMA,
    )
    connected = sa.text("disconnected_at IS NULL")
    _index("uq_accounts_customer", "customer", unique=True, postgresql_where=connected)
    _index("ix_accounts_customer_payout_account_id", "customer", "payout_account_id")
    _index("uq_accounts_stripe_account_id", "stripe_account_id", unique=True)
    _index("ix_accounts_next_payout_at", "next_payout_at", postgresql_where=connected)


def _index(name: str, *columns: str, **options: Any) -> None:
    op.create_index(name, "accounts", list(columns), schema=SCHEMA, **options)
