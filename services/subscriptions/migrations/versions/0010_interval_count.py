"""The number of intervals in a billing period: prices every three months or two weeks.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "subscriptions"


def upgrade() -> None:
    """Add the columns; every price so far has a period of one interval."""
    for table, name in (("catalog_prices", "interval_count"), ("subscriptions", "period_interval_count")):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("1"))
        op.add_column(table, column, schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("subscriptions", "period_interval_count", schema=SCHEMA)
    op.drop_column("catalog_prices", "interval_count", schema=SCHEMA)
