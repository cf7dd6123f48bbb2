"""Refunds and disputes of paid invoices.

Revision ID: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables and the sums on invoices, which are zero so far."""
    for name in ("amount_refunded", "amount_disputed", "amount_credited"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
        op.add_column("invoices", column, schema=SCHEMA)
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Text, primary_key=True),
        *_of_an_invoice(),
        sa.Column("reason", sa.Text),
        sa.Column("requested_by", sa.Text),
        sa.Column("stripe_refund_id", sa.Text, unique=True),
        sa.Column("created_at", MOMENT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text, primary_key=True),
        *_of_an_invoice(),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("respond_by", MOMENT),
        sa.Column("stripe_dispute_id", sa.Text, nullable=False, unique=True),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT),
        schema=SCHEMA,
    )
    for table, key in (("refunds", "refund_id"), ("disputes", "dispute_id")):
        op.create_index(f"ix_{table}_invoice", table, ["invoice_id"], schema=SCHEMA)
        op.create_index(f"ix_{table}_customer", table, ["customer", key], schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("disputes", schema=SCHEMA)
    op.drop_table("refunds", schema=SCHEMA)
    for name in ("amount_credited", "amount_disputed", "amount_refunded"):
        op.drop_column("invoices", name, schema=SCHEMA)


def _of_an_invoice() -> list[sa.Column[object]]:
    return [
        sa.Column("invoice_id", sa.Text, sa.ForeignKey(f"{SCHEMA}.invoices.invoice_id"), nullable=False),
        sa.Column("customer", sa.Text, sa.ForeignKey(f"{SCHEMA}.customers.customer"), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
    ]
