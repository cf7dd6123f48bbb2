"""Notifications, preferences, and what is known of their recipients."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.persistence.migrations import create_plumbing_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "notifications"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_notifications()
    _create_recipients()
    _create_known()


def _create_notifications() -> None:
    op.create_table(
        "notifications",
        _text("notification_id"),
        _number("version"),
        _text("kind"),
        _text("cause"),
        _text("recipient"),
        sa.Column("customer", sa.Text),
        sa.Column("facts", JSONB, nullable=False),
        sa.Column("is_forced", sa.Boolean, nullable=False),
        _text("status"),
        sa.Column("reason", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("language", sa.Text),
        _number("attempts"),
        sa.Column("last_error", sa.Text),
        _text("message_id"),
        sa.Column("happened_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT),
        sa.Column("sent_at", MOMENT),
        sa.PrimaryKeyConstraint("notification_id", name="pk_notifications"),
        sa.CheckConstraint(
            "status IN ('queued', 'sent', 'failed', 'suppressed')", name="ck_notifications_status"
        ),
        sa.CheckConstraint(
            "(status = 'queued') = (next_attempt_at IS NOT NULL)", name="ck_notifications_next_attempt_at"
        ),
        sa.CheckConstraint("(status = 'suppressed') = (reason IS NOT NULL)", name="ck_notifications_reason"),
        schema=SCHEMA,
    )
    _index(
        "uq_notifications_cause_kind_recipient", "notifications", "cause", "kind", "recipient", unique=True
    )
    due = sa.text("status = 'queued'")
    _index("ix_notifications_next_attempt_at", "notifications", "next_attempt_at", postgresql_where=due)
    _index("ix_notifications_customer_notification_id", "notifications", "customer", "notification_id")
    _index("ix_notifications_created_at", "notifications", "created_at")


def _create_recipients() -> None:
    op.create_table(
        "preferences",
        _text("party"),
        sa.Column("email", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("kinds_off", JSONB, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("party", name="pk_preferences"),
        schema=SCHEMA,
    )
    op.create_table(
        "bounced_addresses",
        _text("email"),
        _text("reply"),
        sa.Column("bounced_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("email", name="pk_bounced_addresses"),
        schema=SCHEMA,
    )


def _create_known() -> None:
    op.create_table(
        "known_customers",
        _text("customer"),
        _number("version"),
        _text("email"),
        sa.Column("name", sa.Text),
        sa.PrimaryKeyConstraint("customer", name="pk_known_customers"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_subscriptions",
        _text("subscription_id"),
        _number("version"),
        _text("customer"),
        sa.Column("product", sa.Text),
        sa.Column("grace_until", MOMENT),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_known_subscriptions"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_seats",
        _text("seat_id"),
        _number("version"),
        _text("customer"),
        _text("subscription_id"),
        _text("status"),
        sa.Column("email", sa.Text),
        sa.Column("member", sa.Text),
        sa.PrimaryKeyConstraint("seat_id", name="pk_known_seats"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_invitations",
        _text("seat_id"),
        _number("version"),
        _text("command_id"),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("is_reminded", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("seat_id", name="pk_known_invitations"),
        schema=SCHEMA,
    )
    waiting = sa.text("NOT is_reminded")
    _index("ix_known_invitations_expires_at", "known_invitations", "expires_at", postgresql_where=waiting)
    op.create_table(
        "known_names",
        _text("entity"),
        _text("code"),
        _number("version"),
        _text("name"),
        sa.PrimaryKeyConstraint("entity", "code", name="pk_known_names"),
        schema=SCHEMA,
    )


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _index(name: str, table: str, *columns: str, **options: Any) -> None:
    op.create_index(name, table, list(columns), schema=SCHEMA, **options)
