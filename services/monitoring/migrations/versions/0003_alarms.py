"""Alarms, the catching up with an older installation, and the lag of every service's outbox.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "monitoring"
MOMENT = sa.DateTime(timezone=True)
# A service's tables are closed to every other role. This function belongs to the owner of the database,
# and gives two numbers for each service and nothing else; only a role that may use this schema can call it.
SERVICE_LAGS = """
    CREATE FUNCTION monitoring.service_lags()
    RETURNS TABLE (service text, outbox_lag_seconds double precision, unfinished bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $body$
    DECLARE owned text;
    BEGIN
        FOR owned IN SELECT schemaname FROM pg_tables WHERE tablename = 'relay_position' ORDER BY 1 LOOP
            service := owned;
            EXECUTE format(
                'SELECT coalesce((
                    SELECT greatest(extract(epoch FROM clock_timestamp() - recorded_at), 0)::float8
                    FROM %1$I.relay_position AS position, %1$I.outbox
                    WHERE xid >= pg_snapshot_xmin(position.published)
                      AND NOT pg_visible_in_snapshot(xid, position.published)
                      AND (part_of IS NULL OR id > part_after_id OR NOT pg_visible_in_snapshot(xid, part_of))
                    ORDER BY xid, id LIMIT 1), 0)', owned) INTO outbox_lag_seconds;
            EXECUTE format(
                'SELECT count(*) FROM %1$I.inbox
                WHERE outcome IS NULL AND received_at < clock_timestamp() - interval ''90 seconds''', owned)
                INTO unfinished;
            RETURN NEXT;
        END LOOP;
    END $body$
"""


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("about", sa.Text),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("cleared_at", MOMENT),
        sa.PrimaryKeyConstraint("alarm_id", name="pk_alarms"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_alarms_raised",
        "alarms",
        ["rule", sa.text("coalesce(about, '')")],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "catch_ups",
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("cursor", sa.Text),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("done_at", MOMENT),
        sa.PrimaryKeyConstraint("entity", name="pk_catch_ups"),
        schema=SCHEMA,
    )
    op.execute(SERVICE_LAGS)
