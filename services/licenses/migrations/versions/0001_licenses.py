"""Inbox and outbox, licenses, activations, signing keys, and known subscriptions and products.

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

SCHEMA = "licenses"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_licenses()
    _create_activations()
    _create_signing_keys()
    for table, key in (("known_subscriptions", "subscription_id"), ("known_products", "code")):
        op.create_table(
            table,
            _words(key),
            _number("version"),
            sa.Column("snapshot", JSONB, nullable=False),
            sa.PrimaryKeyConstraint(key, name=f"pk_{table}"),
            schema=SCHEMA,
        )


def _create_licenses() -> None:
    op.create_table(
        "licenses",
        _words("license_id"),
        _number("version"),
        _words("customer"),
        sa.Column("subscription_id", sa.Text),
        _words("product"),
        _words("status"),
        sa.Column("seats", sa.BigInteger),
        sa.Column("features", JSONB, nullable=False),
        _number("instances"),
        _number("grace_days"),
        _number("offline_days"),
        sa.Column("expires_at", MOMENT),
        _truth("suspended_by_operator"),
        _truth("suspended_by_subscription"),
        sa.Column("reason", sa.Text),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        _words("key_hint"),
        _number("key_number"),
        _truth("key_shown"),
        _number("file_sequence"),
        sa.Column("reminded_days", sa.BigInteger),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("license_id", name="pk_licenses"),
        sa.CheckConstraint(
            "status IN ('active', 'suspended', 'expired', 'revoked')", name="ck_licenses_status"
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (status IN ('active', 'suspended'))", name="ck_licenses_ended"
        ),
        sa.CheckConstraint(
            "status <> 'active' OR NOT (suspended_by_operator OR suspended_by_subscription)",
            name="ck_licenses_suspended",
        ),
        schema=SCHEMA,
    )
    kept = sa.text("status <> 'expired'")
    _index("uq_licenses_subscription_id", "licenses", "subscription_id", unique=True, postgresql_where=kept)
    _index("uq_licenses_key_hash", "licenses", "key_hash", unique=True)
    _index("ix_licenses_key_hint", "licenses", "key_hint")
    for column in ("subscription_id", "customer", "status", "product"):
        _index(f"ix_licenses_{column}_license_id", "licenses", column, "license_id")
    running = sa.text("ended_at IS NULL")
    _index("ix_licenses_expires_at", "licenses", "expires_at", postgresql_where=running)
    # Every refresh counts a file: room on the pages keeps the indexes out of it.
    op.execute(f"ALTER TABLE {SCHEMA}.licenses SET (fillfactor = 70)")


def _create_activations() -> None:
    op.create_table(
        "activations",
        _words("license_id"),
        _words("instance_id"),
        sa.Column("name", sa.Text),
        sa.Column("software_version", sa.Text),
        sa.Column("activated_at", MOMENT, nullable=False),
        sa.Column("refreshed_at", MOMENT, nullable=False),
        sa.Column("members", sa.BigInteger),
        sa.Column("not_after", MOMENT, nullable=False),
        sa.Column("grace_until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("license_id", "instance_id", name="pk_activations"),
        sa.ForeignKeyConstraint(
            ["license_id"], [f"{SCHEMA}.licenses.license_id"], name="fk_activations_license_id"
        ),
        schema=SCHEMA,
    )
    _index("ix_activations_grace_until", "activations", "grace_until")
    _index("ix_activations_instance_id", "activations", "instance_id")


def _create_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        _words("kid"),
        _words("x"),
        _words("status"),
        sa.Column("activated_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
        sa.CheckConstraint("status IN ('active', 'retired')", name="ck_signing_keys_status"),
        sa.CheckConstraint("(status = 'retired') = (retired_at IS NOT NULL)", name="ck_signing_keys_retired"),
        schema=SCHEMA,
    )
    active = sa.text("status = 'active'")
    _index("uq_signing_keys_active", "signing_keys", "status", unique=True, postgresql_where=active)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _truth(name: str) -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean, nullable=False)


def _words(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
