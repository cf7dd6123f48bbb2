"""Inbox and outbox, snapshots, reported resources, and known entities of other services.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.persistence.migrations import create_plumbing_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "monitoring"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_snapshots()
    _known("customers", _words("customer"))
    _known("products", _words("code"), _words("kind"), sa.Column("archived", sa.Boolean, nullable=False))
    _known("prices", _words("code"), _words("product"), sa.Column("terms", JSONB, nullable=False))
    _known(
        "subscriptions",
        _words("subscription_id"),
        _words("customer"),
        _words("status"),
        _words("product"),
        sa.Column("unlimited", ARRAY(sa.Text), nullable=False),
    )
    running = sa.text("status NOT IN ('canceled', 'expired', 'incomplete')")
    _index("ix_known_subscriptions_running", "known_subscriptions", "product", postgresql_where=running)
    _known("teams", _words("team_id"), _words("status"), _number("capacity"), _number("occupied"))
    _known("seats", _words("seat_id"), _words("status"))
    _known("add_ons", _words("add_on_id"), _words("product"), _words("status"))
    _create_recharges()


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("day", sa.Date, nullable=False),
        _number("version"),
        sa.Column("captured_at", MOMENT, nullable=False),
        sa.Column("figures", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_snapshots"),
        schema=SCHEMA,
    )
    op.create_table(
        "resources",
        _words("resource"),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("unit", sa.Text),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("resource", "day", name="pk_resources"),
        schema=SCHEMA,
    )


def _create_recharges() -> None:
    _known(
        "recharges",
        _words("recharge_id"),
        _words("customer"),
        _words("account"),
        _words("feature"),
        _words("status"),
        _number("amount"),
        _words("currency"),
        sa.Column("at", MOMENT, nullable=False),
    )
    _index("ix_known_recharges_at", "known_recharges", "at")


def _known(entities: str, key: "sa.Column[str]", *columns: "sa.Column[Any]") -> None:
    table = f"known_{entities}"
    primary = sa.PrimaryKeyConstraint(key.name, name=f"pk_{table}")
    op.create_table(table, key, _number("version"), *columns, primary, schema=SCHEMA)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _words(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
