"""Units beyond the included ones: what is owed, and the charges for it.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
ZERO = sa.text("0")


def upgrade() -> None:
    """Create the tables and add the columns; nothing is owed so far."""
    for name, kind in (("amount", sa.BigInteger), ("currency", sa.Text), ("cap", sa.BigInteger)):
        op.add_column("known_features", sa.Column(f"overage_{name}", kind()), schema=SCHEMA)
    op.add_column(
        "usage_days", sa.Column("overage", sa.BigInteger, nullable=False, server_default=ZERO), schema=SCHEMA
    )
    op.create_table(
        "overages",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("grant_id", "account", "feature", "customer", "subscription_id", "currency")
        ),
        _moment("period_start"),
        _moment("period_end"),
        sa.Column("unit_amount", sa.BigInteger, nullable=False),
        sa.Column("cap", sa.BigInteger),
        sa.Column("charged", sa.BigInteger, nullable=False, server_default=ZERO),
        _moment("retry_at", nullable=True),
        _moment("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("grant_id", name="pk_overages"),
        sa.CheckConstraint("charged >= 0", name="ck_overages_never_below_zero"),
        schema=SCHEMA,
        comment="Units beyond the included ones, by account, feature and billing period.",
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index("ix_overages_open", "overages", ["customer"], schema=SCHEMA, postgresql_where=is_open)
    op.create_index("ix_overages_account", "overages", ["account", "feature"], schema=SCHEMA)
    op.create_table(
        "overage_charges",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("charge_id", "customer", "subscription_id", "currency", "status")
        ),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("invoice_id", sa.Text),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("charge_id", name="pk_overage_charges"),
        schema=SCHEMA,
        comment="Charges for units beyond the included ones, and what became of them.",
    )
    is_pending = sa.text("status = 'pending'")
    op.create_index(
        "ix_overage_charges_pending",
        "overage_charges",
        ["charge_id"],
        schema=SCHEMA,
        postgresql_where=is_pending,
    )
    op.create_index(
        "ix_overage_charges_customer", "overage_charges", ["customer", "charge_id"], schema=SCHEMA
    )
    op.create_table(
        "overage_lines",
        sa.Column("charge_id", sa.Text, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("charge_id", "grant_id", name="pk_overage_lines"),
        schema=SCHEMA,
        comment="Which units each charge is for.",
    )
    op.create_index("ix_overage_lines_grant", "overage_lines", ["grant_id"], schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    for table in ("overage_lines", "overage_charges", "overages"):
        op.drop_table(table, schema=SCHEMA)
    op.drop_column("usage_days", "overage", schema=SCHEMA)
    for name in ("amount", "currency", "cap"):
        op.drop_column("known_features", f"overage_{name}", schema=SCHEMA)


def _moment(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
