"""Members that the machines of a subscription's license report count as seats in use.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "seats"


def upgrade() -> None:
    """Keep what the events of licenses say, and the sum for each team."""
    op.create_table(
        "known_licenses",
        sa.Column("license_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("members", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("license_id", name="pk_known_licenses"),
        schema=SCHEMA,
    )
    op.create_index("ix_known_licenses_subscription_id", "known_licenses", ["subscription_id"], schema=SCHEMA)
    op.add_column(
        "teams",
        sa.Column("members_reported", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        schema=SCHEMA,
    )
