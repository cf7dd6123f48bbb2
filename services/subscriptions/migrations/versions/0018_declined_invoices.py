"""When a new payment method was declined for an open invoice.

Revision ID: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column."""
    op.add_column("invoices", sa.Column("declined_at", sa.DateTime(timezone=True)), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("invoices", "declined_at", schema=SCHEMA)
