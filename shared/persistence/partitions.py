"""Tables that are kept for a while: a partition a month, the oldest dropped when nobody needs it any more.

A row's partition is not decided by a clock but by the default of the column `generation`, which always names
a partition that exists. A month later one function opens the next and changes the default, under a lock that
waits for every writer; so two transactions never write to different partitions at the same time, and what
must be unique stays so by looking into the older ones. Should nobody call the function, the youngest
partition grows and nothing fails. The function belongs to the owner: a service may call it and cannot drop
anything itself.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

GENERATION = "generation"
PARTITIONS_TABLE = "partitions"
TEND_FUNCTION = "tend_partitions"
PERIOD_DAYS = 30
"""How long a partition takes rows. Shorter ones would waste less disk, but each is one more index to look
into for every new command, and an old one's pages are not in memory."""
LOCK_TIMEOUT_MILLISECONDS = 1_000
"""Everybody waits behind us while we wait for a lock; then rather later, when nothing long runs."""
TENDING_MAX_SECONDS = 1_800
"""Adding up a month of a large ledger takes minutes; nobody waits for it."""
CARRIED_ROWS = 5_000
"""Rows copied on at a time, while writers wait: some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long a table's rows are kept, and what is done before a partition goes.

    The statements are SQL in which `{schema}` and `{partition}` are replaced.
    """

    days: int
    may_go: str = "SELECT true"
    """Answers whether a partition that is old enough may be dropped."""
    outliving: str = ""
    """Finds rows that must outlive the partition, at most CARRIED_ROWS: one array of whatever `carry` knows
    them by. Run until there are none."""
    carry: str = ""
    """Copies those rows, `$1`, to the youngest partition while writers wait."""
    closing: str = ""
    """Run once, in the transaction that drops the partition, before anybody has to wait."""


def partitioned_by_generation(kept: RetentionPolicy) -> dict[str, Any]:
    """The keyword arguments of a table that is kept in partitions; it also needs `generation_column`."""
    return {"info": {"kept": kept}, "postgresql_partition_by": f"LIST ({GENERATION})"}


def generation_column() -> sa.Column[date]:
    """The day on which a row's partition was opened: last in the primary key, never named in an INSERT."""
    # The default is set when the first partition is opened.
    return sa.Column(GENERATION, sa.Date, primary_key=True, server_default=sa.text("'-infinity'"))


def partitions_table(metadata: sa.MetaData) -> sa.Table:
    """Which partitions there are and were, written by the owner's function only."""
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
    """Open the first partitions, and install the function, when `metadata` creates its tables."""

    @event.listens_for(metadata, "after_create")
    def created(metadata: sa.MetaData, connection: sa.Connection, **_: Any) -> None:
        schema = str(metadata.schema)
        for table in partitioned_tables(metadata):
            known = sa.text(f"SELECT 1 FROM {schema}.{PARTITIONS_TABLE} WHERE table_name = :name")  # noqa: S608
            if connection.scalar(known, {"name": table.name}) is None:
                open_first(connection, schema, table.name)
        install(connection, metadata)


def partitioned_tables(metadata: sa.MetaData) -> list[sa.Table]:
    """The tables that are kept in partitions."""
    return [table for table in metadata.sorted_tables if "kept" in table.info]


def is_partition(name: str | None, metadata: sa.MetaData) -> bool:
    """Whether a table found in the schema is a partition of one of these tables."""
    return any(_is_partition_of(name or "", table.name) for table in partitioned_tables(metadata))


def _is_partition_of(name: str, table: str) -> bool:
    start, _, day = name.rpartition("_")
    return start == table and len(day) == len("20260201") and day.isdigit()


def open_first(connection: sa.Connection, schema: str, table: str) -> None:
    """Open a new table's first partition; for migrations that create one."""
    today = "today date := (now() AT TIME ZONE 'UTC')::date;"
    connection.exec_driver_sql(f"DO $do$ DECLARE {today} BEGIN {_open(schema, table)} END $do$")


def set_storage_parameters(connection: sa.Connection, schema: str, table: str, parameters: str) -> None:
    """Set the storage parameters of a table's partitions, of those to come too."""
    names = connection.exec_driver_sql(
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{schema}.{table}'::regclass"  # noqa: S608 - our own names
    )
    for (partition,) in names.all():
        connection.exec_driver_sql(f"ALTER TABLE {partition} SET ({parameters})")


def _open(schema: str, table: str) -> str:
    ours = f"{schema}.{table}"
    # A table's own storage parameters cannot be set on itself, so each partition hands them to the next.
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
    """Create the functions that open and drop partitions, or bring them up to date; the owner calls this.

    A call makes the first change that is due and says which; null when none is. Only one table is locked at
    a time. What a service may call knows no other day than today.
    """
    schema = str(metadata.schema)
    tables = "".join(
        _tended(schema, table.name, table.info["kept"]) for table in partitioned_tables(metadata)
    )
    on_a_day, today = f"{schema}.{TEND_FUNCTION}_on(today date)", f"{schema}.{TEND_FUNCTION}()"
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
            IF NOT pg_try_advisory_xact_lock(hashtext('{schema}.{TEND_FUNCTION}')) THEN RETURN NULL; END IF;
            {tables}
            RETURN NULL;
        END $function$;
        CREATE OR REPLACE FUNCTION {today} RETURNS text
        LANGUAGE sql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS $function$ SELECT {schema}.{TEND_FUNCTION}_on((now() AT TIME ZONE 'UTC')::date) $function$;
        REVOKE ALL ON FUNCTION {on_a_day} FROM PUBLIC;
        REVOKE ALL ON FUNCTION {today} FROM PUBLIC;
        """  # noqa: S608 - our own names
    )


def _tended(schema: str, table: str, kept: RetentionPolicy) -> str:
    # What takes long is done before the lock: nobody writes to an older partition any more.
    def run(statement: str, then: str = "") -> str:
        quoted = statement.format(schema=schema, partition="$partition").replace("'", "''")
        return f"EXECUTE replace('{quoted}', '$partition', partition){then};"

    ours = f"{schema}.{PARTITIONS_TABLE} WHERE table_name = '{table}'"
    carry = f"""
        {run(kept.outliving, " INTO outliving")}
        IF outliving IS NOT NULL THEN
            LOCK TABLE {schema}.{table} IN EXCLUSIVE MODE;
            {run(kept.carry, " USING outliving")}
            RETURN 'carried ' || cardinality(outliving) || ' rows of ' || partition || ' on';
        END IF;
    """
    return f"""
        IF (SELECT max({GENERATION}) FROM {ours}) <= today - {PERIOD_DAYS} THEN
            LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE;
            {_open(schema, table)}
            RETURN 'opened a partition of {table}';
        END IF;
        SELECT {GENERATION}, lead({GENERATION}) OVER (ORDER BY {GENERATION}) AS ended INTO oldest
            FROM {ours} AND dropped_at IS NULL ORDER BY {GENERATION} LIMIT 1;
        IF oldest.ended <= today - {kept.days} THEN
            partition := '{schema}.{table}_' || to_char(oldest.{GENERATION}, 'YYYYMMDD');
            {run(kept.may_go, " INTO free")}
            IF free THEN
                {carry if kept.carry else ""}
                {run(kept.closing) if kept.closing else ""}
                LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE;
                EXECUTE 'DROP TABLE ' || partition;
                UPDATE {schema}.{PARTITIONS_TABLE} SET dropped_at = now()
                    WHERE table_name = '{table}' AND {GENERATION} = oldest.{GENERATION};
                RETURN 'dropped ' || partition;
            END IF;
        END IF;
    """  # noqa: S608 - our own names


async def maintain_partitions(engine: AsyncEngine, schema: str) -> list[str]:
    """Open and drop what is due, one change a transaction; what was done."""
    done: list[str] = []
    while True:
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"SET LOCAL statement_timeout = '{TENDING_MAX_SECONDS}s'"))
            change = await connection.scalar(sa.text(f"SELECT {schema}.{TEND_FUNCTION}()"))
        if change is None:
            return done
        done.append(change)
