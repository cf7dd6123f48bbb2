"""Inbox and outbox, customers, subscriptions, checkouts, invoices, entitlements.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.persistence.migrations import create_plumbing_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    create_plumbing_tables(SCHEMA)
    _create_customers()
    _create_subscriptions()
    _create_checkouts()
    _create_invoices()
    _create_entitlements()
    _create_parked_events()


def _create_customers() -> None:
    op.create_table(
        "customers",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("stripe_customer_id", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("customer", name="pk_customers"),
        sa.UniqueConstraint("customer_id", name="uq_customers_customer_id"),
        sa.UniqueConstraint("stripe_customer_id", name="uq_customers_stripe_customer_id"),
        schema=SCHEMA,
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("items", JSONB, nullable=False),
        sa.Column("current_period_start", MOMENT),
        sa.Column("current_period_end", MOMENT),
        sa.Column("period_anchor", MOMENT),
        sa.Column("period_interval", sa.Text),
        sa.Column("trial_end", MOMENT),
        sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
        sa.Column("canceled_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("grace_until", MOMENT),
        sa.Column("scheduled_change", JSONB),
        sa.Column("stripe_subscription_id", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("stripe_event_id", sa.Text),
        sa.Column("stripe_event_at", MOMENT),
        sa.Column("stripe_event_rank", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("stripe_is_ahead", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("stripe_revision", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer"], ["subscriptions.customers.customer"], name="fk_subscriptions_customer"
        ),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_subscriptions"),
        sa.UniqueConstraint("stripe_subscription_id", name="uq_subscriptions_stripe_subscription_id"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_subscriptions_customer", "subscriptions", ["customer", "subscription_id"], schema=SCHEMA
    )
    op.create_index(
        "ix_subscriptions_own_period_end",
        "subscriptions",
        ["current_period_end"],
        schema=SCHEMA,
        postgresql_where=sa.text("stripe_subscription_id IS NULL AND ended_at IS NULL"),
    )
    op.create_index("ix_subscriptions_status", "subscriptions", ["status", "subscription_id"], schema=SCHEMA)


def _create_checkouts() -> None:
    op.create_table(
        "checkouts",
        sa.Column("checkout_id", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("plans", JSONB, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("stripe_checkout_id", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["customer"], ["subscriptions.customers.customer"], name="fk_checkouts_customer"
        ),
        sa.PrimaryKeyConstraint("checkout_id", name="pk_checkouts"),
        sa.UniqueConstraint("stripe_checkout_id", name="uq_checkouts_stripe_checkout_id"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_checkouts_open",
        "checkouts",
        ["customer"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'open'"),
    )


def _create_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("invoice_id", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("stripe_invoice_id", sa.Text, nullable=False),
        sa.Column("stripe_customer_id", sa.Text, nullable=False),
        sa.Column("stripe_subscription_id", sa.Text),
        sa.Column("number", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("amount_due", sa.BigInteger, nullable=False),
        sa.Column("amount_paid", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("attempt_count", sa.BigInteger, nullable=False),
        sa.Column("told_failures", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("hosted_invoice_url", sa.Text),
        sa.Column("invoice_pdf", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("stripe_event_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["customer"], ["subscriptions.customers.customer"], name="fk_invoices_customer"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscriptions.subscription_id"],
            name="fk_invoices_subscription_id",
        ),
        sa.PrimaryKeyConstraint("invoice_id", name="pk_invoices"),
        sa.UniqueConstraint("stripe_invoice_id", name="uq_invoices_stripe_invoice_id"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_invoices_customer", "invoices", ["customer", "created_at", "invoice_id"], schema=SCHEMA
    )


def _create_entitlements() -> None:
    op.create_table(
        "entitlements",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("sources", JSONB, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["customer"], ["subscriptions.customers.customer"], name="fk_entitlements_customer"
        ),
        sa.PrimaryKeyConstraint("customer", "feature", name="pk_entitlements"),
        schema=SCHEMA,
    )


def _create_parked_events() -> None:
    op.create_table(
        "parked_events",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("stripe_customer_id", sa.Text, nullable=False),
        sa.Column("parked_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_parked_events"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_parked_events_stripe_customer_id", "parked_events", ["stripe_customer_id"], schema=SCHEMA
    )
