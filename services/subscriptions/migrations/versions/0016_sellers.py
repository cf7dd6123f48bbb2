"""Sellers of products.

Revision ID: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; older workers neither read nor write it."""
    op.add_column("catalog_products", sa.Column("seller", JSONB()), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("catalog_products", "seller", schema=SCHEMA)
