"""The lost part of disputed amounts.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "payouts"


def upgrade() -> None:
    """Add the column; what is disputed and closed was lost."""
    lost = sa.Column("lost", sa.BigInteger, server_default=sa.text("0"), nullable=False)
    op.add_column("invoices", lost, schema=SCHEMA)
    op.execute(f"UPDATE {SCHEMA}.invoices SET lost = disputed WHERE closed_version > opened_version")  # noqa: S608


def downgrade() -> None:
    """Drop it."""
    op.drop_column("invoices", "lost", schema=SCHEMA)
