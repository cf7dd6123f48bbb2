"""Refunds of recharges: what was given back, and what became of the units.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
COLUMNS = ("amount_refunded", "units_taken_back", "units_used", "invoice_version")


def upgrade() -> None:
    """Add the columns; nothing was refunded so far."""
    for name in COLUMNS:
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
        op.add_column("recharges", column, schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    for name in reversed(COLUMNS):
        op.drop_column("recharges", name, schema=SCHEMA)
