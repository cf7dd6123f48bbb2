"""Tax rates of the catalog, and the tax of prices and recharges.

Revision ID: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
TAXED = ("catalog_features", "catalog_prices")


def upgrade() -> None:
    """Create the table and the columns; so far nothing was taxed."""
    op.create_table(
        "catalog_tax_rates",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("tax_rate_id", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("percentage", sa.Text, nullable=False),
        sa.Column("inclusive", sa.Boolean, nullable=False),
        sa.Column("country", sa.Text),
        sa.Column("state", sa.Text),
        sa.Column("jurisdiction", sa.Text),
        sa.Column("tax_type", sa.Text),
        sa.Column("default", sa.Boolean, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("stripe_tax_rate_id", sa.Text, unique=True),
        sa.Column("position", sa.BigInteger, nullable=False, server_default="0"),
        schema=SCHEMA,
    )
    for table in TAXED:
        op.add_column(table, sa.Column("tax_behavior", sa.Text), schema=SCHEMA)
        rates = sa.Column("tax_rates", JSONB, nullable=False, server_default=sa.text("'[]'"))
        op.add_column(table, rates, schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TAXED):
        op.drop_column(table, "tax_rates", schema=SCHEMA)
        op.drop_column(table, "tax_behavior", schema=SCHEMA)
    op.drop_table("catalog_tax_rates", schema=SCHEMA)
