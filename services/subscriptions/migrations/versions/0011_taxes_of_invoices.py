"""Net amounts and taxes of invoices.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
AMOUNTS = ("subtotal", "discount", "total_excluding_tax")


def upgrade() -> None:
    """Add the columns; of older invoices they stay null, which reads as a total without tax."""
    for name in AMOUNTS:
        op.add_column("invoices", sa.Column(name, sa.BigInteger()), schema=SCHEMA)
    op.add_column("invoices", sa.Column("taxes", JSONB()), schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    for name in ("taxes", *AMOUNTS):
        op.drop_column("invoices", name, schema=SCHEMA)
