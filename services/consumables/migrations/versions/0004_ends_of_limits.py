"""Grants of limits are open until they end, so that their end is noticed when all of them is in use.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = """
    UPDATE consumables.grants SET open = {are_open}
    FROM consumables.balances
    WHERE balances.account = grants.account AND balances.feature = grants.feature AND kind = 'limit'
      AND quantity IS NOT NULL AND grants.remaining = 0 AND expires_at IS NOT NULL AND ended_at IS NULL
"""


def upgrade() -> None:
    """Open those that have an end to come."""
    op.execute(OPEN.format(are_open="true"))


def downgrade() -> None:
    """Close those of which nothing remains."""
    op.execute(OPEN.format(are_open="false"))
