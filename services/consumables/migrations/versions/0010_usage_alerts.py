"""Usage alerts.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "consumables"


def upgrade() -> None:
    """Create the table, and add the level of the next alert to balances."""
    op.create_table(
        "usage_alerts",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("percents", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("reached", ARRAY(sa.BigInteger), nullable=False),
        sa.PrimaryKeyConstraint("account", "feature", name="pk_usage_alerts"),
        schema=SCHEMA,
        comment="At which percentages of a cycle's units an event tells of the usage.",
    )
    op.add_column("balances", sa.Column("alert_at", sa.BigInteger), schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("balances", "alert_at", schema=SCHEMA)
    op.drop_table("usage_alerts", schema=SCHEMA)
