"""Overrides in force, where the customer is told of.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
FILL = """
    UPDATE subscriptions.customers SET overrides = in_force.overrides
    FROM (
        SELECT customer, jsonb_agg(
            jsonb_build_object(
                'feature', feature, 'kind', kind, 'allowed', allowed, 'quantity', quantity, 'until', until
            ) ORDER BY feature
        ) AS overrides
        FROM subscriptions.overrides JOIN subscriptions.catalog_features ON code = feature
        WHERE ended_at IS NULL GROUP BY customer
    ) AS in_force
    WHERE customers.customer = in_force.customer
"""


def upgrade() -> None:
    """Add them."""
    empty = sa.text("'[]'")
    op.add_column(
        "customers", sa.Column("overrides", JSONB, nullable=False, server_default=empty), schema=SCHEMA
    )
    op.execute(FILL)


def downgrade() -> None:
    """Drop them; the overrides themselves stay."""
    op.drop_column("customers", "overrides", schema=SCHEMA)
