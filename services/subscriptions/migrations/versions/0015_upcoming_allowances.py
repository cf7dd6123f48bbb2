"""What replaces an entitlement when one of several sources ends.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; it is filled with the next change or renewal of each customer."""
    none = sa.text("'[]'")
    op.add_column(
        "entitlements", sa.Column("upcoming", JSONB, nullable=False, server_default=none), schema=SCHEMA
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("entitlements", "upcoming", schema=SCHEMA)
