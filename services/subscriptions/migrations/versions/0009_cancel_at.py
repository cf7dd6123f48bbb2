"""Dates in Stripe on which subscriptions are set to end.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; the hourly comparison with Stripe fills it."""
    op.add_column("subscriptions", sa.Column("cancel_at", sa.DateTime(timezone=True)), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("subscriptions", "cancel_at", schema=SCHEMA)
