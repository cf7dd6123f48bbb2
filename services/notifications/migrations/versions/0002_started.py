"""Whether a known subscription ever began."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; those that are known already are taken for begun."""
    column = sa.Column("is_started", sa.Boolean, server_default=sa.true(), nullable=False)
    op.add_column("known_subscriptions", column, schema="notifications")
