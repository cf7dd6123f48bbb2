"""What is known of features, subscriptions, teams and seats, and what accounts have coming from them.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    _create_known_features()
    _create_known_subscriptions()
    _create_known_teams()
    _create_known_seats()
    _create_terms()
    _create_allotments()


def _create_known_features() -> None:
    op.create_table(
        "known_features",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("unit_amount", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("meter", sa.Text),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_known_features"),
        schema=SCHEMA,
    )


def _create_known_subscriptions() -> None:
    op.create_table(
        "known_subscriptions",
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("product", sa.Text),
        sa.Column("bought", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("grants", sa.Boolean, nullable=False),
        sa.Column("period_start", MOMENT),
        sa.Column("period_end", MOMENT),
        sa.Column("anchor", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_known_subscriptions"),
        schema=SCHEMA,
    )
    op.create_index("ix_known_subscriptions_customer", "known_subscriptions", ["customer"], schema=SCHEMA)


def _create_known_teams() -> None:
    op.create_table(
        "known_teams",
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("billing_manager", sa.Text),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("suspended", sa.Boolean, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("team_id", name="pk_known_teams"),
        schema=SCHEMA,
    )
    for column in ("subscription_id", "customer", "billing_manager"):
        op.create_index(f"ix_known_teams_{column}", "known_teams", [column], schema=SCHEMA)


def _create_known_seats() -> None:
    op.create_table(
        "known_seats",
        sa.Column("seat_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("member", sa.Text),
        sa.Column("multiplier", sa.BigInteger, nullable=False),
        sa.Column("prorated", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("seat_id", name="pk_known_seats"),
        schema=SCHEMA,
    )
    for column in ("team_id", "subscription_id"):
        op.create_index(f"ix_known_seats_{column}", "known_seats", [column], schema=SCHEMA)
    op.create_index(
        "ix_known_seats_member",
        "known_seats",
        ["member"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'claimed'"),
    )


def _create_terms() -> None:
    op.create_table(
        "terms",
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reach", sa.Text, nullable=False),
        sa.Column("every", sa.Text),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("rollover", sa.BigInteger, nullable=False),
        sa.Column("offered", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "slot", name="pk_terms"),
        schema=SCHEMA,
    )


def _create_allotments() -> None:
    op.create_table(
        "allotments",
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("multiplier", sa.BigInteger, nullable=False),
        sa.Column("prorated", sa.Boolean, nullable=False),
        sa.Column("cycle_number", sa.BigInteger),
        sa.Column("cycle_start", MOMENT),
        sa.Column("granted", sa.BigInteger),
        sa.Column("grant_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("next_at", MOMENT),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "slot", "account", name="pk_allotments"),
        schema=SCHEMA,
        # Renewals write every row again and again, and change no indexed column but one.
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_allotments_next_at",
        "allotments",
        ["next_at", "subscription_id", "slot", "account"],
        schema=SCHEMA,
    )
    op.create_index("ix_allotments_account", "allotments", ["account"], schema=SCHEMA)
