"""Payment links and their uses.

Revision ID: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, and find customers by their address."""
    op.create_table(
        "payment_links",
        sa.Column("payment_link_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("items", JSONB, nullable=False),
        sa.Column("after_url", sa.Text),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("customer", sa.Text),
        sa.Column("uses_max", sa.BigInteger),
        sa.Column("uses", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("stripe_payment_link_id", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", MOMENT, nullable=False),
        schema=SCHEMA,
    )
    owner = sa.ForeignKey(f"{SCHEMA}.customers.customer")
    op.create_table(
        "payment_link_uses",
        sa.Column("use_id", sa.Text, primary_key=True),
        sa.Column(
            "payment_link_id",
            sa.Text,
            sa.ForeignKey(f"{SCHEMA}.payment_links.payment_link_id"),
            nullable=False,
        ),
        sa.Column("customer", sa.Text, owner, nullable=False),
        sa.Column("subscription_id", sa.Text),
        sa.Column("invoice_id", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("stripe_checkout_id", sa.Text, nullable=False, unique=True),
        sa.Column("used_at", MOMENT, nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_payment_link_uses_link", "payment_link_uses", ["payment_link_id", "use_id"], schema=SCHEMA
    )
    op.create_table(
        "further_stripe_customers",
        sa.Column("stripe_customer_id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey(f"{SCHEMA}.customers.customer"), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("ix_customers_email", "customers", [sa.text("lower(email)")], schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_customers_email", "customers", schema=SCHEMA)
    for table in ("further_stripe_customers", "payment_link_uses", "payment_links"):
        op.drop_table(table, schema=SCHEMA)
