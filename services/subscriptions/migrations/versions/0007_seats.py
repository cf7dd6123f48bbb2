"""What is known of teams and seats, and entitlements of members who are no customers.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"
CLAIMED = sa.text("claimed")


def upgrade() -> None:
    """Create the tables; let a member have entitlements without being registered."""
    op.create_table(
        "known_teams",
        sa.Column("team_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("has_access", sa.Boolean, nullable=False),
        sa.Column("seats_in_use", sa.BigInteger, nullable=False),
        sa.Column("terms", sa.Text),
        sa.Column("terms_revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Index("ix_known_teams_subscription", "subscription_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "known_seats",
        sa.Column("seat_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("member", sa.Text),
        sa.Column("claimed", sa.Boolean, nullable=False),
        sa.Column("multiplier", sa.BigInteger, nullable=False),
        sa.Index("ix_known_seats_claimed", "team_id", "seat_id", postgresql_where=CLAIMED),
        sa.Index("ix_known_seats_member", "member", postgresql_where=CLAIMED),
        schema=SCHEMA,
    )
    op.drop_constraint("fk_entitlements_customer", "entitlements", schema=SCHEMA, type_="foreignkey")


def downgrade() -> None:
    """Drop them, and the entitlements of whoever is not registered."""
    op.execute(
        "DELETE FROM subscriptions.entitlements"
        " WHERE customer NOT IN (SELECT customer FROM subscriptions.customers)"
    )
    op.create_foreign_key(
        "fk_entitlements_customer",
        "entitlements",
        "customers",
        ["customer"],
        ["customer"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )
    op.drop_table("known_seats", schema=SCHEMA)
    op.drop_table("known_teams", schema=SCHEMA)
