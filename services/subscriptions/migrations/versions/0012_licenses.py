"""License settings of products.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; products have no license until a catalog gives them one."""
    op.add_column("catalog_products", sa.Column("license", JSONB), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("catalog_products", "license", schema=SCHEMA)
