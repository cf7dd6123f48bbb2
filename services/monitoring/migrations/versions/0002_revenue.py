"""Histories of subscriptions and invoices, and the movements of revenue by day.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "monitoring"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "histories",
        sa.Column("entity_id", sa.Text, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("entity_id", "first", name="pk_histories"),
        schema=SCHEMA,
    )
    op.create_index("ix_histories_owner_entity", "histories", ["owner", "entity"], schema=SCHEMA)
    op.create_table(
        "revenue_days",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("denominator", sa.BigInteger, nullable=False),
        sa.Column("numerator", sa.Numeric, nullable=False),
        sa.Column("customers", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "currency", "kind", "denominator", name="pk_revenue_days"),
        schema=SCHEMA,
    )
