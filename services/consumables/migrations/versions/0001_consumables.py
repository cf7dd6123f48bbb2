"""Inbox and outbox, accounts, balances, grants, the ledger, reservations, usage, recharges.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.persistence.migrations import create_plumbing_tables
from shared.persistence.partitions import open_first

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "consumables"
MOMENT = sa.DateTime(timezone=True)
ROOM: dict[str, Any] = {"postgresql_with": {"fillfactor": 60}}


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_accounts()
    _create_balances()
    _create_grants()
    _create_entries()
    _create_reservations()
    _create_usage()
    _create_recharges()


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, server_default=sa.text("0"), nullable=False)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("suspended", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_accounts"),
        schema=SCHEMA,
        comment="Who holds units: `customer:…`, `team:…`, `seat:…`, and who pays for them.",
    )
    op.create_index("ix_accounts_customer", "accounts", ["customer"], schema=SCHEMA)
    op.create_table(
        "access",
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "account", name="pk_access"),
        schema=SCHEMA,
        comment="Who may draw on which seats and pools; everybody's own account goes without saying.",
    )
    op.create_index("ix_access_account", "access", ["account"], schema=SCHEMA)


def _create_balances() -> None:
    op.create_table(
        "balances",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        *map(
            _count,
            (
                "version",
                "granted",
                "beyond",
                "consumed",
                "reserved",
                "expired",
                "remaining",
                "unlimited",
                "excess",
                "last_granted",
            ),
        ),
        sa.Column("threshold", sa.BigInteger),
        sa.CheckConstraint(
            "granted + beyond = consumed + reserved + expired + remaining",
            name="ck_balances_every_unit_is_somewhere",
        ),
        sa.CheckConstraint(
            "least(granted, beyond, consumed, reserved, expired, remaining, unlimited, excess) >= 0",
            name="ck_balances_never_below_zero",
        ),
        sa.ForeignKeyConstraint(["account"], ["consumables.accounts.account"], name="fk_balances_account"),
        sa.PrimaryKeyConstraint("account", "feature", name="pk_balances"),
        schema=SCHEMA,
        comment="What each account has of each feature: where all the units ever granted are now.",
        **ROOM,
    )


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("version", sa.BigInteger, server_default=sa.text("1"), nullable=False),
        sa.Column("quantity", sa.BigInteger),
        *map(_count, ("consumed", "reserved", "expired")),
        sa.Column("remaining", sa.BigInteger, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("priority", sa.BigInteger, nullable=False),
        sa.Column("source", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("revoked", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("open", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "quantity IS NULL AND remaining = 0 OR quantity = consumed + reserved + expired + remaining",
            name="ck_grants_every_unit_is_somewhere",
        ),
        sa.CheckConstraint(
            "least(consumed, reserved, expired, remaining) >= 0", name="ck_grants_never_below_zero"
        ),
        sa.PrimaryKeyConstraint("grant_id", name="pk_grants"),
        sa.UniqueConstraint("key", name="uq_grants_key"),
        schema=SCHEMA,
        comment="Units given at one time, where they come from and where they are.",
        **ROOM,
    )
    columns = ["account", "feature"]
    is_open, is_due = sa.text("open"), sa.text("open AND expires_at IS NOT NULL")
    op.create_index("ix_grants_open", "grants", columns, schema=SCHEMA, postgresql_where=is_open)
    op.create_index("ix_grants_due", "grants", ["expires_at"], schema=SCHEMA, postgresql_where=is_due)
    op.create_index("ix_grants_balance", "grants", [*columns, "created_at"], schema=SCHEMA)


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("consumer", sa.Text),
        sa.Column("caused_by", sa.Text, nullable=False),
        sa.Column("reservation_id", sa.Text),
        sa.Column("metadata", JSONB),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("generation", sa.Date, server_default=sa.text("'-infinity'"), nullable=False),
        sa.CheckConstraint("quantity > 0", name="ck_entries_something_moved"),
        sa.PrimaryKeyConstraint("entry_id", "generation", name="pk_entries"),
        schema=SCHEMA,
        comment="The ledger: every unit that moved, from where to where, who moved it and why.",
        postgresql_partition_by="LIST (generation)",
    )
    open_first(op.get_bind(), SCHEMA, "entries")
    op.create_table(
        "closed_entries",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "feature", "kind", name="pk_closed_entries"),
        schema=SCHEMA,
        comment="What the entries add up to that are not kept any more.",
    )
    columns = ["account", "occurred_at", "entry_id"]
    op.create_index("ix_entries_account", "entries", columns, schema=SCHEMA)
    op.execute(f"""
        CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the ledger only grows: % of % is refused', TG_OP, TG_TABLE_NAME;
        END $$
    """)
    # For each row, so that partitions have it as well.
    op.execute(f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {SCHEMA}.entries
        FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.refuse_change()
    """)


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("reservation_id", sa.Text, nullable=False),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("drawn", JSONB, nullable=False),
        sa.Column("used", JSONB),
        sa.Column("metadata", JSONB),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT),
        sa.PrimaryKeyConstraint("reservation_id", name="pk_reservations"),
        schema=SCHEMA,
        comment="Units set aside: from which grants, until when, and what became of them.",
    )
    is_open = sa.text("status = 'open'")
    op.create_index(
        "ix_reservations_due", "reservations", ["expires_at"], schema=SCHEMA, postgresql_where=is_open
    )
    op.create_table(
        "refunds",
        sa.Column("consumption_id", sa.Text, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("consumption_id", name="pk_refunds"),
        schema=SCHEMA,
        comment="How much of each consumption was given back; none for most.",
    )


def _create_usage() -> None:
    op.create_table(
        "usage_days",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("day", MOMENT, nullable=False),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.CheckConstraint("quantity >= 0", name="ck_usage_days_never_below_zero"),
        sa.PrimaryKeyConstraint("customer", "feature", "day", "consumer", "account", name="pk_usage_days"),
        schema=SCHEMA,
        comment="Usage by day, kept while consuming, so that nobody scans the ledger.",
        **ROOM,
    )


def _create_recharges() -> None:
    op.create_table(
        "auto_recharges",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("threshold", sa.BigInteger, nullable=False),
        sa.Column("recharge_quantity", sa.BigInteger, nullable=False),
        sa.Column("max_spend_amount", sa.BigInteger),
        sa.Column("currency", sa.Text, nullable=False),
        _count("failures"),
        sa.Column("suspended", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("skip_told", sa.Text),
        sa.PrimaryKeyConstraint("account", "feature", name="pk_auto_recharges"),
        schema=SCHEMA,
        comment="Which accounts buy more of what by themselves, when, how much, and up to which spend.",
    )
    op.create_table(
        "recharges",
        sa.Column("recharge_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("automatic", sa.Boolean, nullable=False),
        sa.Column("invoice_id", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("recharge_id", name="pk_recharges"),
        schema=SCHEMA,
        comment="Units being bought, by hand or by themselves, and what became of the charge.",
    )
    op.create_index(
        "uq_recharges_in_flight",
        "recharges",
        ["account", "feature"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_recharges_account", "recharges", ["account", "recharge_id"], schema=SCHEMA)
