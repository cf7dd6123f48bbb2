"""Webhook endpoints, the events that they get, and the deliveries."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "notifications"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    _create_endpoints()
    _create_events()
    _create_deliveries()


def _create_endpoints() -> None:
    op.create_table(
        "endpoints",
        _text("endpoint_id"),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("customer", sa.Text),
        _text("url"),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("description", sa.Text),
        _text("status"),
        sa.Column("reason", sa.Text),
        sa.Column("failing_since", MOMENT),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary),
        sa.Column("previous_secret_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", name="pk_endpoints"),
        sa.CheckConstraint("status IN ('enabled', 'disabled', 'deleted')", name="ck_endpoints_status"),
        schema=SCHEMA,
    )
    _index("ix_endpoints_customer_endpoint_id", "endpoints", "customer", "endpoint_id")


def _create_events() -> None:
    op.create_table(
        "outgoing_events",
        _text("event_id"),
        _text("type"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_outgoing_events"),
        schema=SCHEMA,
    )
    _index("ix_outgoing_events_created_at", "outgoing_events", "created_at")


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        _text("delivery_id"),
        _text("endpoint_id"),
        _text("event_id"),
        _text("type"),
        _text("status"),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("last_attempt_at", MOMENT),
        sa.Column("response_status", sa.BigInteger),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("response_body", sa.Text),
        sa.Column("last_error", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_deliveries"),
        sa.CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="ck_deliveries_status"),
        schema=SCHEMA,
    )
    _index("uq_deliveries_event_id_endpoint_id", "deliveries", "event_id", "endpoint_id", unique=True)
    pending = sa.text("status = 'pending'")
    _index(
        "ix_deliveries_endpoint_id_next_attempt_at",
        "deliveries",
        "endpoint_id",
        "next_attempt_at",
        postgresql_where=pending,
    )
    _index("ix_deliveries_endpoint_id_delivery_id", "deliveries", "endpoint_id", "delivery_id")
    _index("ix_deliveries_created_at", "deliveries", "created_at")


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
