"""Units end with the plan that gives them, told or not.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "consumables"


def upgrade() -> None:
    """Add the column; the next event of each subscription that will end fills it."""
    op.add_column("known_subscriptions", sa.Column("ends_at", sa.DateTime(timezone=True)), schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("known_subscriptions", "ends_at", schema=SCHEMA)
