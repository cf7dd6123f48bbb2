"""Inbox and outbox, teams, seats, and what is known of subscriptions, customers and invoices.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.persistence.migrations import create_plumbing_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "seats"
MOMENT = sa.DateTime(timezone=True)
HELD = sa.text("status <> 'revoked'")


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_teams()
    _create_seats()
    _create_known()


def _create_teams() -> None:
    op.create_table(
        "teams",
        sa.Column("team_id", sa.Text, nullable=False),
        _number("version"),
        _words("subscription_id"),
        _words("customer"),
        _words("strategy"),
        _words("owner_seat"),
        _number("quantity"),
        _number("minimum"),
        sa.Column("maximum", sa.BigInteger),
        sa.Column("scheduled_quantity", sa.BigInteger),
        _number("capacity"),
        _number("holders"),
        _number("occupied"),
        _number("excess"),
        _words("billing_manager"),
        _words("manager_from"),
        sa.Column("suspended", sa.Boolean, nullable=False),
        _words("status"),
        sa.Column("closing", sa.Boolean, nullable=False),
        sa.Column("change", JSONB),
        sa.Column("refused_change", JSONB),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT),
        sa.PrimaryKeyConstraint("team_id", name="pk_teams"),
        sa.CheckConstraint("status IN ('open', 'closed')", name="ck_teams_status"),
        sa.CheckConstraint("strategy IN ('per_team', 'per_seat')", name="ck_teams_strategy"),
        sa.CheckConstraint("owner_seat IN ('free', 'billed', 'none')", name="ck_teams_owner_seat"),
        sa.CheckConstraint("occupied <= capacity + excess", name="ck_teams_capacity"),
        sa.CheckConstraint("holders >= 0 AND excess >= 0", name="ck_teams_counts"),
        schema=SCHEMA,
    )
    open_ones = sa.text("NOT closing")
    _index("uq_teams_subscription_id", "teams", "subscription_id", unique=True, postgresql_where=open_ones)
    _index("ix_teams_subscription_id_team_id", "teams", "subscription_id", "team_id")
    _index("ix_teams_customer_team_id", "teams", "customer", "team_id")
    # The rows of busy teams are rewritten all the time: room on their pages keeps the indexes out of it.
    op.execute(f"ALTER TABLE {SCHEMA}.teams SET (fillfactor = 50)")


def _create_seats() -> None:
    op.create_table(
        "seats",
        sa.Column("seat_id", sa.Text, nullable=False),
        _number("version"),
        _words("team_id"),
        _words("subscription_id"),
        _words("customer"),
        _words("status"),
        sa.Column("email", sa.Text),
        sa.Column("member", sa.Text),
        _number("multiplier"),
        sa.Column("prorated", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("token_hash", sa.LargeBinary),
        sa.Column("invited_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("claimed_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.PrimaryKeyConstraint("seat_id", name="pk_seats"),
        sa.ForeignKeyConstraint(["team_id"], [f"{SCHEMA}.teams.team_id"], name="fk_seats_team_id"),
        sa.CheckConstraint("status IN ('pending', 'claimed', 'revoked')", name="ck_seats_status"),
        sa.CheckConstraint("status <> 'claimed' OR member IS NOT NULL", name="ck_seats_claimed_by_somebody"),
        sa.CheckConstraint("token_hash IS NULL OR status = 'pending'", name="ck_seats_token_of_pending"),
        sa.CheckConstraint("multiplier BETWEEN 1 AND 100", name="ck_seats_multiplier"),
        schema=SCHEMA,
    )
    _index("uq_seats_team_id_email", "seats", "team_id", "email", unique=True, postgresql_where=HELD)
    _index("uq_seats_team_id_member", "seats", "team_id", "member", unique=True, postgresql_where=HELD)
    live = sa.text("token_hash IS NOT NULL")
    _index("uq_seats_token_hash", "seats", "token_hash", unique=True, postgresql_where=live)
    _index("ix_seats_team_id_seat_id", "seats", "team_id", "seat_id")
    _index("ix_seats_team_id_status_seat_id", "seats", "team_id", "status", "seat_id")
    claimed = sa.text("status = 'claimed'")
    _index("ix_seats_memberships", "seats", "member", "seat_id", postgresql_where=claimed)
    _index("ix_seats_expires_at", "seats", "expires_at", postgresql_where=live)


def _create_known() -> None:
    op.create_table(
        "known_subscriptions",
        sa.Column("subscription_id", sa.Text, nullable=False),
        _number("version"),
        sa.Column("snapshot", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_known_subscriptions"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_customers",
        sa.Column("customer", sa.Text, nullable=False),
        _number("version"),
        sa.Column("billing_manager", sa.Text),
        sa.PrimaryKeyConstraint("customer", name="pk_known_customers"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_invoices",
        sa.Column("invoice_id", sa.Text, nullable=False),
        _number("version"),
        _words("subscription_id"),
        sa.Column("snapshot", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", name="pk_known_invoices"),
        schema=SCHEMA,
    )
    _index("ix_known_invoices_subscription_id_invoice_id", "known_invoices", "subscription_id", "invoice_id")


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _words(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
