"""Cycles that a change of the billing period cuts short, and what was used of them without being paid.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "consumables"


def upgrade() -> None:
    """Add the columns; no cycle was cut so far."""
    op.add_column("known_subscriptions", sa.Column("cut_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    withheld = sa.Column("withheld", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    op.add_column("allotments", withheld, schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("allotments", "withheld", schema=SCHEMA)
    op.drop_column("known_subscriptions", "cut_at", schema=SCHEMA)
