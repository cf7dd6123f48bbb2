"""Inbox and outbox, Stripe's events, replays, reconciliation.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

from shared.persistence.migrations import create_plumbing_tables
from shared.persistence.partitions import set_storage_parameters

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "webhooks"
ROW_MAX_BYTES = 8_160
"""The most that Postgres allows: a row has to fit its page."""
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_stripe_events()
    # Payloads of a few KB stay in the row as they are: compressing them costs more than storing them.
    op.execute(f"ALTER TABLE {SCHEMA}.stripe_events SET (toast_tuple_target = {ROW_MAX_BYTES})")
    set_storage_parameters(op.get_bind(), SCHEMA, "outbox", f"toast_tuple_target = {ROW_MAX_BYTES}")
    op.create_table(
        "replays",
        sa.Column("command_id", sa.Text, nullable=False),
        sa.Column("after_received_at", MOMENT),
        sa.Column("after_event_id", sa.Text),
        sa.Column("replayed", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("command_id", name="pk_replays"),
        schema=SCHEMA,
    )
    op.create_table(
        "reconciled",
        sa.Column("one", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_reconciled"),
        schema=SCHEMA,
    )


def _create_stripe_events() -> None:
    op.create_table(
        "stripe_events",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_stripe_events"),
        sa.CheckConstraint(
            "status IN ('received', 'applied', 'failed', 'ignored')", name="ck_stripe_events_status"
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_stripe_events_received_at_event_id", "stripe_events", ["received_at", "event_id"], schema=SCHEMA
    )
    op.create_index(
        "ix_stripe_events_type_received_at_event_id",
        "stripe_events",
        ["type", "received_at", "event_id"],
        schema=SCHEMA,
    )
    op.create_index(
        "ix_stripe_events_undone",
        "stripe_events",
        ["status", "received_at", "event_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IN ('received', 'failed')"),
    )
