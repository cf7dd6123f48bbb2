"""What a flag delivers to whoever has it.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; no feature delivers anything so far."""
    op.add_column("catalog_features", sa.Column("delivers", JSONB), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("catalog_features", "delivers", schema=SCHEMA)
