"""Grace that is over, reminders that were given, and when Stripe was last asked.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
TABLE = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them, and an index for what each job looks for."""
    op.add_column(
        TABLE,
        sa.Column("restricted", sa.Boolean, server_default=sa.text("false"), nullable=False),
        schema=SCHEMA,
    )
    for name in ("trial_end_told_for", "renewal_told_for", "card_looked_at_for", "synced_at"):
        op.add_column(TABLE, sa.Column(name, MOMENT), schema=SCHEMA)
    op.create_index(
        "ix_subscriptions_grace",
        TABLE,
        ["grace_until"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'past_due' AND NOT restricted"),
    )
    op.create_index(
        "ix_subscriptions_trial_end",
        TABLE,
        ["trial_end"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'trialing'"),
    )
    op.create_index(
        "ix_subscriptions_renewal",
        TABLE,
        ["current_period_end"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'active' AND NOT cancel_at_period_end"),
    )
