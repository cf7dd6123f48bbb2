"""Grants that are used up are found while they have not ended.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "consumables"


def upgrade() -> None:
    """Add their index."""
    op.create_index(
        "ix_grants_used_up",
        "grants",
        ["account", "feature", "expires_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("NOT open AND ended_at IS NULL"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_grants_used_up", "grants", schema=SCHEMA)
