"""The price of units beyond the included ones.

Revision ID: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; no feature has one so far."""
    op.add_column("catalog_features", sa.Column("overage", JSONB), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("catalog_features", "overage", schema=SCHEMA)
