"""Accounts are suspended when the grace period of an overdue payment ends, told or not.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns; the next event of each overdue subscription fills them."""
    op.add_column("accounts", sa.Column("suspends_at", MOMENT), schema=SCHEMA)
    op.add_column("known_subscriptions", sa.Column("grace_until", MOMENT), schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("known_subscriptions", "grace_until", schema=SCHEMA)
    op.drop_column("accounts", "suspends_at", schema=SCHEMA)
