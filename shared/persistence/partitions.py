"""Tables with limited retention: one partition a month, the oldest dropped once its rows are not needed.

The default of the column `generation`, not a clock, decides a row's partition, and always names one that
exists. A month later a function opens the next partition and changes the default, under a lock that waits for
every writer. So two transactions never write to different partitions at the same time, and uniqueness holds
if a writer searches the older partitions first. If the function is not called, the newest partition grows and
nothing fails. The function belongs to the database's owner: a service may call it and cannot drop anything
itself.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

GENERATION = "generation"
PARTITIONS_TABLE = "partitions"
MAINTENANCE_FUNCTION = "tend_partitions"
PERIOD_DAYS = 30
"""How long a partition takes rows. Shorter ones would waste less disk, but each is one more index to search
for every new command, and the pages of old ones are not in memory."""
LOCK_TIMEOUT_MILLISECONDS = 1_000
"""All writers queue behind a waiting lock, so it is given up after this and tried again an hour later."""
MAINTENANCE_MAX_SECONDS = 1_800
"""Adding up a month of a large ledger takes minutes; no request waits for it."""
CARRIED_ROWS = 5_000
"""Rows copied to the newest partition at a time while writers wait: some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long a table's rows are kept, and what is done before a partition is dropped.

    The statements are SQL in which `{schema}` and `{partition}` are replaced.
    """

    days: int
    may_go: str = "SELECT true"
    """Selects whether a partition that is old enough may be dropped."""
    outliving: str = ""
    """Selects rows that must outlive the partition, at most CARRIED_ROWS, as one array of keys for `carry`.
    Run until it selects none."""
    carry: str = ""
    """Copies those rows, `$1`, to the newest partition while writers wait."""
    closing: str = ""
    """Run once in the transaction that drops the partition, before writers are locked out."""


def partitioned_by_generation(retention: RetentionPolicy) -> dict[str, Any]:
    """Return the keyword arguments of a partitioned table, which also needs `generation_column`."""
    return {"info": {"retention": retention}, "postgresql_partition_by": f"LIST ({GENERATION})"}


def generation_column() -> sa.Column[date]:
    """Create the column with the day on which a row's partition was opened.

    It comes last in the primary key and is never named in an INSERT.
    """
    # The default is set when the first partition is opened.
    return sa.Column(GENERATION, sa.Date, primary_key=True, server_default=sa.text("'-infinity'"))


def partitions_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the table of present and dropped partitions, which only the owner's function writes."""
    return sa.Table(
        PARTITIONS_TABLE,
        metadata,
        sa.Column("table_name", sa.Text, primary_key=True),
        sa.Column(GENERATION, sa.Date, primary_key=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("dropped_at", sa.DateTime(timezone=True)),
        comment="The partitions of the tables that are kept for a while.",
    )


def open_on_creation(metadata: sa.MetaData) -> None:
    """Open the first partitions and install the functions when `metadata` creates its tables."""

    @event.listens_for(metadata, "after_create")
    def created(metadata: sa.MetaData, connection: sa.Connection, **_: Any) -> None:
        schema = str(metadata.schema)
        for table in partitioned_tables(metadata):
            known = sa.text(f"SELECT 1 FROM {schema}.{PARTITIONS_TABLE} WHERE table_name = :name")  # noqa: S608
            if connection.scalar(known, {"name": table.name}) is None:
                open_first(connection, schema, table.name)
        install(connection, metadata)


def partitioned_tables(metadata: sa.MetaData) -> list[sa.Table]:
    """List the tables that are partitioned."""
    return [table for table in metadata.sorted_tables if "retention" in table.info]


def is_partition(name: str | None, metadata: sa.MetaData) -> bool:
    """Whether a table found in the schema is a partition of one of the tables of `metadata`."""
    return any(_is_partition_of(name or "", table.name) for table in partitioned_tables(metadata))


def _is_partition_of(name: str, table: str) -> bool:
    start, _, day = name.rpartition("_")
    return start == table and len(day) == len("20260201") and day.isdigit()


def open_first(connection: sa.Connection, schema: str, table: str) -> None:
    """Open the first partition of a new table; for migrations that create one."""
    today = "today date := (now() AT TIME ZONE 'UTC')::date;"
    connection.exec_driver_sql(f"DO $do$ DECLARE {today} BEGIN {_open_sql(schema, table)} END $do$")


def set_storage_parameters(connection: sa.Connection, schema: str, table: str, parameters: str) -> None:
    """Set the storage parameters of a table's partitions; later partitions take them over."""
    names = connection.exec_driver_sql(
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{schema}.{table}'::regclass"  # noqa: S608 - our own names
    )
    for (partition,) in names.all():
        connection.exec_driver_sql(f"ALTER TABLE {partition} SET ({parameters})")


def _open_sql(schema: str, table: str) -> str:
    ours = f"{schema}.{table}"
    # A partitioned table has no storage parameters, so a new partition copies those of the newest one.
    return f"""
        EXECUTE 'CREATE TABLE {ours}_' || to_char(today, 'YYYYMMDD')
            || ' PARTITION OF {ours} FOR VALUES IN (' || quote_literal(today) || ')'
            || coalesce((SELECT ' WITH (' || array_to_string(reloptions, ', ') || ')'
                FROM pg_class JOIN pg_inherits ON inhrelid = oid AND inhparent = '{ours}'::regclass
                WHERE reloptions IS NOT NULL ORDER BY relname DESC LIMIT 1), '');
        EXECUTE 'ALTER TABLE {ours} ALTER COLUMN {GENERATION} SET DEFAULT ' || quote_literal(today);
        INSERT INTO {schema}.{PARTITIONS_TABLE} (table_name, {GENERATION}) VALUES ('{table}', today);
    """  # noqa: S608 - our own names


def install(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Create or replace the functions that open and drop partitions; to be called as the owner.

    A call of the SQL function makes the first change that is due and returns its description, or null. Only
    one table is locked at a time. The function that a service may call takes no date and uses today.
    """
    schema = str(metadata.schema)
    tables = "".join(
        _maintenance_sql(schema, table.name, table.info["retention"])
        for table in partitioned_tables(metadata)
    )
    name = f"{schema}.{MAINTENANCE_FUNCTION}"
    on_a_day, today = f"{name}_on(today date)", f"{name}()"
    connection.exec_driver_sql(
        f"""
        CREATE OR REPLACE FUNCTION {on_a_day} RETURNS text
        LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp
        SET lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}
        SET enable_seqscan = on  -- whole partitions are read here
        AS $function$
        DECLARE
            partition text; oldest record; free boolean; outliving bigint[];
        BEGIN
            IF NOT pg_try_advisory_xact_lock(hashtext('{name}')) THEN RETURN NULL; END IF;
            {tables}
            RETURN NULL;
        END $function$;
        CREATE OR REPLACE FUNCTION {today} RETURNS text
        LANGUAGE sql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS $function$ SELECT {name}_on((now() AT TIME ZONE 'UTC')::date) $function$;
        REVOKE ALL ON FUNCTION {on_a_day} FROM PUBLIC;
        REVOKE ALL ON FUNCTION {today} FROM PUBLIC;
        """  # noqa: S608 - our own names
    )


def _maintenance_sql(schema: str, table: str, retention: RetentionPolicy) -> str:
    # Long statements run before the lock: older partitions have no writers any more.
    def run(statement: str, then: str = "") -> str:
        quoted = statement.format(schema=schema, partition="$partition").replace("'", "''")
        return f"EXECUTE replace('{quoted}', '$partition', partition){then};"

    ours = f"{schema}.{PARTITIONS_TABLE} WHERE table_name = '{table}'"
    carry = f"""
        {run(retention.outliving, " INTO outliving")}
        IF outliving IS NOT NULL THEN
            LOCK TABLE {schema}.{table} IN EXCLUSIVE MODE;
            {run(retention.carry, " USING outliving")}
            RETURN 'carried ' || cardinality(outliving) || ' rows of ' || partition || ' on';
        END IF;
    """
    return f"""
        IF (SELECT max({GENERATION}) FROM {ours}) <= today - {PERIOD_DAYS} THEN
            LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE;
            {_open_sql(schema, table)}
            RETURN 'opened a partition of {table}';
        END IF;
        SELECT {GENERATION}, lead({GENERATION}) OVER (ORDER BY {GENERATION}) AS ended INTO oldest
            FROM {ours} AND dropped_at IS NULL ORDER BY {GENERATION} LIMIT 1;
        IF oldest.ended <= today - {retention.days} THEN
            partition := '{schema}.{table}_' || to_char(oldest.{GENERATION}, 'YYYYMMDD');
            {run(retention.may_go, " INTO free")}
            IF free THEN
                {carry if retention.carry else ""}
                {run(retention.closing) if retention.closing else ""}
                LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE;
                EXECUTE 'DROP TABLE ' || partition;
                UPDATE {schema}.{PARTITIONS_TABLE} SET dropped_at = now()
                    WHERE table_name = '{table}' AND {GENERATION} = oldest.{GENERATION};
                RETURN 'dropped ' || partition;
            END IF;
        END IF;
    """  # noqa: S608 - our own names


async def maintain_partitions(engine: AsyncEngine, schema: str) -> list[str]:
    """Open and drop the partitions that are due, one change a transaction; return the changes."""
    done: list[str] = []
    while True:
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"SET LOCAL statement_timeout = '{MAINTENANCE_MAX_SECONDS}s'"))
            change = await connection.scalar(sa.text(f"SELECT {schema}.{MAINTENANCE_FUNCTION}()"))
        if change is None:
            return done
        done.append(change)
