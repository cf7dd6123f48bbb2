"""Add-ons with their details, and exceptions for one customer.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "add_ons",
        sa.Column("add_on_id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey(f"{SCHEMA}.customers.customer"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("cancel_at", MOMENT),
        sa.Column("subscription_id", sa.Text, unique=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Index("ix_add_ons_customer", "customer", "add_on_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "overrides",
        sa.Column("override_id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey(f"{SCHEMA}.customers.customer"), nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("until", MOMENT),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_at", MOMENT, nullable=False),
        sa.Column("set_by", sa.Text, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("ended_by", sa.Text),
        schema=SCHEMA,
    )
    in_force = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_overrides_in_force",
        "overrides",
        ["customer", "feature"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=in_force,
    )
    op.create_index("ix_overrides_until", "overrides", ["until"], schema=SCHEMA, postgresql_where=in_force)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("overrides", schema=SCHEMA)
    op.drop_table("add_ons", schema=SCHEMA)
