"""Disputes that were lost, as a sum of each invoice.

Revision ID: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; disputes are followed since the version before."""
    column = sa.Column("amount_charged_back", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    op.add_column("invoices", column, schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("invoices", "amount_charged_back", schema=SCHEMA)
