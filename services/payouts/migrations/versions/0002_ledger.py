"""The ledger of sellers, and payouts.

Revision ID: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "payouts"
MOMENT = sa.DateTime(timezone=True)
APPEND_ONLY = ("seller_entries", "seller_releases")


def upgrade() -> None:
    """Create them."""
    _create_balances()
    _create_entries()
    _create_releases()
    _create_shares()
    _create_payouts()
    op.execute(f"""
        CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the ledger only grows: % of % is refused', TG_OP, TG_TABLE_NAME;
        END $$
    """)
    for table in APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {SCHEMA}.{table}
            FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.refuse_change()
        """)


def _create_balances() -> None:
    sums = (
        "version",
        "pending",
        "available",
        "paid_out",
        "earned",
        "fee",
        "reversed",
        "adjusted",
        "returned",
    )
    op.create_table(
        "seller_balances",
        _words("customer"),
        _words("currency"),
        *map(_count, sums),
        sa.PrimaryKeyConstraint("customer", "currency", name="pk_seller_balances"),
        sa.CheckConstraint(
            "earned - fee - reversed + adjusted + returned = pending + available + paid_out",
            name="ck_seller_balances_in_balance",
        ),
        sa.CheckConstraint(
            "least(pending, paid_out, earned, fee, reversed, returned) >= 0",
            name="ck_seller_balances_never_below_zero",
        ),
        schema=SCHEMA,
    )


def _create_entries() -> None:
    op.create_table(
        "seller_entries",
        _words("entry_id"),
        _words("customer"),
        _words("currency"),
        _words("kind"),
        *map(_number, ("amount", "pending_change", "available_change")),
        sa.Column("invoice_id", sa.Text),
        sa.Column("product", sa.Text),
        sa.Column("share_percent", sa.BigInteger),
        sa.Column("payout_id", sa.Text),
        sa.Column("available_at", MOMENT),
        sa.Column("reason", sa.Text),
        _words("caused_by"),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_seller_entries"),
        sa.CheckConstraint(
            "kind IN ('earned', 'fee', 'reversed', 'adjusted', 'paid_out', 'returned')",
            name="ck_seller_entries_kind",
        ),
        sa.CheckConstraint(
            "amount > 0 OR kind = 'adjusted' AND amount <> 0", name="ck_seller_entries_amount"
        ),
        sa.CheckConstraint(
            "pending_change + available_change ="
            " CASE WHEN kind IN ('fee', 'reversed', 'paid_out') THEN -amount ELSE amount END",
            name="ck_seller_entries_adds_up",
        ),
        sa.CheckConstraint(
            "kind NOT IN ('paid_out', 'returned') OR payout_id IS NOT NULL",
            name="ck_seller_entries_of_a_payout",
        ),
        schema=SCHEMA,
    )
    _index("ix_seller_entries_customer_entry_id", "seller_entries", "customer", "entry_id")
    of_invoice, paid_out = sa.text("invoice_id IS NOT NULL"), sa.text("kind = 'paid_out'")
    _index("ix_seller_entries_invoice_id", "seller_entries", "invoice_id", postgresql_where=of_invoice)
    _index(
        "uq_seller_entries_paid_out", "seller_entries", "payout_id", unique=True, postgresql_where=paid_out
    )


def _create_releases() -> None:
    op.create_table(
        "seller_releases",
        _words("release_id"),
        _words("customer"),
        _words("currency"),
        _number("amount"),
        sa.Column("invoice_id", sa.Text),
        sa.Column("product", sa.Text),
        _words("caused_by"),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("release_id", name="pk_seller_releases"),
        sa.CheckConstraint("amount <> 0", name="ck_seller_releases_amount"),
        schema=SCHEMA,
    )
    _index("ix_seller_releases_customer_currency", "seller_releases", "customer", "currency")


def _create_shares() -> None:
    op.create_table(
        "invoices",
        _words("invoice_id"),
        _count("version"),
        sa.Column("currency", sa.Text),
        sa.Column("total", sa.BigInteger),
        *map(_count, ("refunded", "disputed", "opened_version", "closed_version")),
        sa.PrimaryKeyConstraint("invoice_id", name="pk_invoices"),
        schema=SCHEMA,
    )
    op.create_table(
        "shares",
        _words("invoice_id"),
        _words("product"),
        _words("customer"),
        _number("share_percent"),
        _words("currency"),
        _number("net"),
        *map(_count, ("booked", "held", "fee")),
        sa.Column("frozen", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("available_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", "product", "customer", "share_percent", name="pk_shares"),
        sa.CheckConstraint("held >= 0 AND fee >= 0", name="ck_shares_held"),
        sa.CheckConstraint("share_percent BETWEEN 0 AND 100", name="ck_shares_share_percent"),
        schema=SCHEMA,
    )
    due, held = sa.text("held > 0 AND NOT frozen"), sa.text("held > 0")
    _index("ix_shares_due", "shares", "available_at", postgresql_where=due)
    _index("ix_shares_customer_currency", "shares", "customer", "currency", postgresql_where=held)


def _create_payouts() -> None:
    op.create_table(
        "payouts",
        _words("payout_id"),
        _number("version"),
        *map(_words, ("customer", "payout_account_id", "stripe_account_id", "currency")),
        *map(_number, ("amount", "amount_reversed")),
        *map(_words, ("status", "reference")),
        sa.Column("stripe_transfer_id", sa.Text),
        sa.Column("failure", JSONB),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("settled_at", MOMENT),
        sa.PrimaryKeyConstraint("payout_id", name="pk_payouts"),
        sa.CheckConstraint("status IN ('pending', 'paid', 'failed', 'reversed')", name="ck_payouts_status"),
        sa.CheckConstraint("amount > 0 AND amount_reversed BETWEEN 0 AND amount", name="ck_payouts_amounts"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="ck_payouts_failure"),
        schema=SCHEMA,
    )
    _index("ix_payouts_customer_payout_id", "payouts", "customer", "payout_id")
    _index("ix_payouts_status_payout_id", "payouts", "status", "payout_id")


def _words(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, server_default=sa.text("0"), nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
