"""Who has a seat is looked up by address and member, whatever the team's size.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "seats"
HELD = sa.text("status <> 'revoked'")


def upgrade() -> None:
    """Put what is looked up before the team."""
    for key in ("email", "member"):
        op.drop_index(f"uq_seats_team_id_{key}", "seats", schema=SCHEMA)
        op.create_index(
            f"uq_seats_{key}_team_id",
            "seats",
            [key, "team_id"],
            schema=SCHEMA,
            unique=True,
            postgresql_where=HELD,
        )
