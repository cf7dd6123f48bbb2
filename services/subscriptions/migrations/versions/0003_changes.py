"""How many seats of a subscription are taken, and which own subscriptions have a change coming.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "subscriptions",
        sa.Column("seats_occupied", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_subscriptions_own_scheduled_change",
        "subscriptions",
        ["current_period_end"],
        schema=SCHEMA,
        postgresql_where=sa.text(
            "stripe_subscription_id IS NULL AND ended_at IS NULL AND scheduled_change IS NOT NULL"
        ),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_subscriptions_own_scheduled_change", table_name="subscriptions", schema=SCHEMA)
    op.drop_column("subscriptions", "seats_occupied", schema=SCHEMA)
