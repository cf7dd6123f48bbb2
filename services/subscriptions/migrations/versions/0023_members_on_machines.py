"""Members that a license's machines report, as the events of its team tell them.

Revision ID: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the column; no machine has reported anything to a team before."""
    column = sa.Column("members_reported", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    op.add_column("subscriptions", column, schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("subscriptions", "members_reported", schema=SCHEMA)
