"""Readings for Stripe's meters.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "metered_days",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("day", MOMENT, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "feature", "day", name="pk_metered_days"),
        schema=SCHEMA,
        comment="How much of each day's usage is in readings for Stripe's meters.",
    )
    op.create_table(
        "readings",
        sa.Column("reading_id", sa.Text, nullable=False),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("reading_id", name="pk_readings"),
        schema=SCHEMA,
        comment="Usage handed to Stripe's meters, each reading once, and what became of it.",
    )
    is_pending = sa.text("status = 'pending'")
    op.create_index("ix_readings_pending", "readings", ["batch"], schema=SCHEMA, postgresql_where=is_pending)
    op.create_index("ix_readings_created_at", "readings", ["created_at"], schema=SCHEMA)
