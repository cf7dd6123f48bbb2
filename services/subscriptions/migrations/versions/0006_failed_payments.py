"""When the payment of an invoice failed first: from then on a customer is late.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
TABLE = "invoices"


def upgrade() -> None:
    """Add it, and an index for the failures of one subscription."""
    op.add_column(TABLE, sa.Column("failed_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.create_index(
        "ix_invoices_failed",
        TABLE,
        ["subscription_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("failed_at IS NOT NULL"),
    )
