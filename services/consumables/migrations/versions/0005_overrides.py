"""Overrides: what is known of customers, and terms that are sold but taken away.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "consumables"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "known_customers",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("overrides", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("customer", name="pk_known_customers"),
        schema=SCHEMA,
    )
    yes = sa.text("true")
    op.add_column("terms", sa.Column("sold", sa.Boolean, nullable=False, server_default=yes), schema=SCHEMA)
    op.execute("UPDATE consumables.terms SET sold = offered WHERE NOT offered")


def downgrade() -> None:
    """Drop them."""
    op.drop_column("terms", "sold", schema=SCHEMA)
    op.drop_table("known_customers", schema=SCHEMA)
