"""Ends of add-ons that follow the end of the customer's plan.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns."""
    op.add_column("add_ons", sa.Column("plan_end_at", MOMENT), schema=SCHEMA)
    op.add_column("add_ons", sa.Column("own_end_at", MOMENT), schema=SCHEMA)
    op.add_column("add_ons", sa.Column("plan_end_credit", sa.Boolean), schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    for column in ("plan_end_credit", "own_end_at", "plan_end_at"):
        op.drop_column("add_ons", column, schema=SCHEMA)
