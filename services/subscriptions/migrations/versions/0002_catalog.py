"""The catalog's tables.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "catalog_features",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("feature_id", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("unit_price", JSONB),
        sa.Column("meter", sa.Text),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        schema=SCHEMA,
    )
    op.create_table(
        "catalog_products",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("product_id", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("seats", JSONB),
        sa.Column("features", JSONB, nullable=False),
        sa.Column("required_details", JSONB, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("stripe_product_id", sa.Text, unique=True),
        sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        schema=SCHEMA,
    )
    op.create_table(
        "catalog_prices",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("price_id", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("product", sa.Text, sa.ForeignKey(f"{SCHEMA}.catalog_products.code"), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("currency", sa.Text),
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("unit_amount", sa.BigInteger),
        sa.Column("base_amount", sa.BigInteger, nullable=False),
        sa.Column("tiers", JSONB, nullable=False),
        sa.Column("trial_days", sa.BigInteger),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("stripe_price_id", sa.Text, unique=True),
        sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Index("ix_catalog_prices_product", "product"),
        schema=SCHEMA,
    )
    op.create_table(
        "catalog_history",
        sa.Column("entity", sa.Text, primary_key=True),
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("snapshot", JSONB, nullable=False),
        sa.Column("caused_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )
    state = op.create_table(
        "catalog_state",
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.text("true")),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("applying", sa.Text),
        sa.CheckConstraint("one", name="single_row"),
        schema=SCHEMA,
    )
    op.bulk_insert(state, [{"one": True, "revision": 0, "applying": None}])


def downgrade() -> None:
    """Drop them."""
    for name in ("state", "history", "prices", "products", "features"):
        op.drop_table(f"catalog_{name}", schema=SCHEMA)
