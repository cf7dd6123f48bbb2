"""Totals of features over all accounts, kept by triggers.

Revision ID: 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "consumables"
UNTIL = """CASE WHEN expires_at IS NULL THEN 'infinity'::timestamptz ELSE
    date_trunc('hour', expires_at - interval '1 microsecond', 'UTC') + interval '1 hour' END"""
"""Hours instead of moments, so that there are few rows: a grant counts until the end of its last hour."""
GRANTS = """
    SELECT feature, 'grants' AS counted_from, {until} AS until,
           CASE WHEN quantity IS NULL OR ended_at IS NOT NULL THEN 0 ELSE consumed + reserved END AS actual,
           CASE WHEN ended_at IS NULL THEN coalesce(quantity, 0) ELSE 0 END AS theoretical_limit,
           CASE WHEN quantity IS NULL AND ended_at IS NULL THEN consumed + reserved ELSE 0 END
               AS unlimited_actual
    FROM {table}
"""
BALANCES = """
    SELECT feature, 'balances' AS counted_from, 'infinity'::timestamptz AS until,
           CASE WHEN unlimited > 0 THEN 0 ELSE consumed + reserved END AS actual,
           CASE WHEN unlimited > 0 THEN 0 ELSE consumed + reserved + remaining - excess END
               AS theoretical_limit,
           CASE WHEN unlimited > 0 THEN consumed + reserved ELSE 0 END AS unlimited_actual
    FROM {table} WHERE kind = 'limit'
"""
APPEND = """
    INSERT INTO consumables.feature_changes
        (feature, counted_from, until, actual, theoretical_limit, unlimited_actual)
    SELECT feature, counted_from, until, sum(actual), sum(theoretical_limit), sum(unlimited_actual)
    FROM ({changes}) AS changes GROUP BY feature, counted_from, until
    HAVING sum(actual) <> 0 OR sum(theoretical_limit) <> 0 OR sum(unlimited_actual) <> 0;
"""
NEGATIVE = """
    SELECT feature, counted_from, until, -actual, -theoretical_limit, -unlimited_actual FROM ({part}) AS old
"""


def upgrade() -> None:
    """Create the tables, count what is there, and install the triggers."""
    op.create_table("feature_totals", *_columns(), _key("feature_totals"), schema=SCHEMA)
    op.create_table(
        "feature_changes",
        sa.Column("change_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        *_columns(),
        sa.PrimaryKeyConstraint("change_id", name="pk_feature_changes"),
        schema=SCHEMA,
    )
    unlimited = sa.text("unlimited > 0")
    op.create_index(
        "ix_balances_unlimited", "balances", ["feature"], schema=SCHEMA, postgresql_where=unlimited
    )
    for table, part in (("grants", GRANTS), ("balances", BALANCES)):
        _install(table, part)
        everything = part.format(table=f"{SCHEMA}.{table}", until=UNTIL)
        op.execute(APPEND.format(changes=everything))


def _install(table: str, part: str) -> None:
    new = part.format(table="new_rows", until=UNTIL)
    old = part.format(table="old_rows", until=UNTIL)
    changed = f"{new} UNION ALL {NEGATIVE.format(part=old)}"
    for event, changes, rows in (
        ("insert", new, "NEW TABLE AS new_rows"),
        ("update", changed, "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ):
        name = f"count_{table}_on_{event}"
        op.execute(
            f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS trigger LANGUAGE plpgsql AS $body$\n"
            f"BEGIN {APPEND.format(changes=changes)} RETURN NULL; END $body$"
        )
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {SCHEMA}.{table} REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.{name}()"
        )


def _columns() -> list["sa.Column[Any]"]:
    return [
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("counted_from", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actual", sa.BigInteger, nullable=False),
        sa.Column("theoretical_limit", sa.BigInteger, nullable=False),
        sa.Column("unlimited_actual", sa.BigInteger, nullable=False),
    ]


def _key(table: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint("feature", "counted_from", "until", name=f"pk_{table}")
