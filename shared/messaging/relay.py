"""The relay: publishes committed outbox rows to JetStream, one relay at a time for each service.

Identity numbers commit out of order in Postgres. Publishing "everything after the last id" would lose rows,
and publishing only what is older than the oldest running transaction would let a later change of an entity
overtake an earlier one. So the position is a snapshot: the next rows to publish are those that were not
visible in the last snapshot and are visible now, in the order of ids. A change is visible only if the
entity's previous change is, because both were made under the same row lock.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
import psycopg
import sqlalchemy as sa
import structlog
from nats.aio.client import Client
from psycopg.types.json import set_json_loads
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.messaging.jetstream_batch import Message, publish_all
from shared.observability.metrics import OUTBOX_PUBLISHED
from shared.persistence.sql_pipeline import Driver, Statement, in_schema, send
from shared.tuning import (
    RELAY_GATHER_ROWS,
    RELAY_GATHER_SECONDS,
    RELAY_POLL_SECONDS,
    RELAY_RETRY_SECONDS,
    RELAY_WINDOW_ROWS,
)

log = structlog.get_logger()

SETTINGS = """
    SET synchronous_commit = off;  -- a lost position only means publishing a few rows again
    SET enable_seqscan = off;      -- the outbox is large, what is due is small and at the end of an index
"""

_DUE = """
    SELECT due.message_id, due.stream, due.subject, due.headers, due.payload, due.id,
           coalesce(position.part_of, pg_current_snapshot())::text AS seen,
           position.published::text AS published, position.part_after_id
    FROM {schema}.relay_position AS position,
         LATERAL (
            SELECT * FROM {schema}.outbox
            WHERE xid >= pg_snapshot_xmin(position.published)
              AND NOT pg_visible_in_snapshot(xid, position.published)
              {which}
            LIMIT $1
         ) AS due
    ORDER BY due.id
"""
# `id + 0` avoids the primary key's index, which would be read from its beginning.
DUE = _DUE.replace("{which}", "AND position.part_of IS NULL ORDER BY id + 0")
# The rest of a snapshot lies after the last id: `ORDER BY id` uses the index and avoids a sort for each part.
DUE_IN_PARTS = _DUE.replace(
    "{which}",
    "AND pg_visible_in_snapshot(xid, position.part_of) AND id > position.part_after_id ORDER BY id",
)

# The position changes only if it still is what was read, because a replay may have reset it.
ADVANCE = """
    UPDATE {schema}.relay_position
    SET published = $1::text::pg_snapshot, part_of = NULL, part_after_id = 0
    WHERE published::text = $2 AND part_after_id = $3
"""

REMEMBER_PART = """
    UPDATE {schema}.relay_position SET part_of = $1::text::pg_snapshot, part_after_id = $4
    WHERE published::text = $2 AND part_after_id = $3
"""

FINISH_PARTS = """
    UPDATE {schema}.relay_position SET published = part_of, part_of = NULL, part_after_id = 0
    WHERE part_of IS NOT NULL
"""

WAITS_SECONDS = """
    SELECT greatest(extract(epoch FROM clock_timestamp() - recorded_at), 0)::float8
    FROM {schema}.relay_position AS position, {schema}.outbox
    WHERE xid >= pg_snapshot_xmin(position.published)
      AND NOT pg_visible_in_snapshot(xid, position.published)
      AND (part_of IS NULL OR id > part_after_id OR NOT pg_visible_in_snapshot(xid, part_of))
    ORDER BY xid, id LIMIT 1
"""

IS_AHEAD = """
    SELECT pg_snapshot_xmax(published) > pg_snapshot_xmax(pg_current_snapshot())
    FROM {schema}.relay_position
"""

START_OVER = "UPDATE {schema}.relay_position SET published = '3:3:', part_of = NULL, part_after_id = 0"
"""Resets the position to the snapshot in which no transaction is visible."""


class PositionAhead(Exception):
    """The database was restored from another cluster's dump, so the position's transaction ids are wrong."""


class Relay:
    """Publishes one service's outbox until it is cancelled; reconnects after every failure."""

    def __init__(
        self, *, schema: str, database_url: str, connect_nats: Callable[[], Awaitable[Client]]
    ) -> None:
        self.schema = schema
        self._database_url = database_url
        self._connect_nats = connect_nats
        self.work_available = asyncio.Event()
        """Set after a commit that wrote to the outbox, so that the relay does not wait for its next poll."""
        self._parts_may_be_open = True
        self.problem: str | None = None
        """Why nothing is published at the moment; None while the relay works."""
        self._published = OUTBOX_PUBLISHED.labels(schema)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            try:
                await self._publish_as_leader()
            except (psycopg.Error, OSError, TimeoutError, PositionAhead) as error:
                self.problem = str(error) or type(error).__name__
                log.warning("relay interrupted", schema=self.schema, error=self.problem)
            except Exception as error:
                self.problem = str(error) or type(error).__name__
                log.exception("relay broke", schema=self.schema)
            await asyncio.sleep(RELAY_RETRY_SECONDS)

    async def _publish_as_leader(self) -> None:
        """Publish while both connections are open and this relay holds the lock."""
        database = await psycopg.AsyncConnection.connect(
            self._database_url, autocommit=True, application_name=f"{self.schema}-relay"
        )
        async with database:
            set_json_loads(orjson.loads, database)
            await database.execute(SETTINGS)
            if not await self._try_lock(database):
                return
            await self._refuse_foreign_position(database)
            self._parts_may_be_open = True  # the previous relay may have left some
            connection = await self._connect_nats()
            try:
                await self._publish_for_ever(database, connection)
            finally:
                await connection.close()

    async def _publish_for_ever(self, database: Driver, connection: Client) -> None:
        while True:
            self.work_available.clear()
            published = await self.publish_due(database, connection)
            self.problem = None
            if not published:
                await self._wait_for_work()
            if published < RELAY_GATHER_ROWS:
                await asyncio.sleep(RELAY_GATHER_SECONDS)

    async def publish_due(self, database: Driver, connection: Client) -> int:
        """Publish the next rows that are safe to publish; return their number."""
        rows = await self._next_rows(database)
        if not rows:
            return 0
        last = Due(*rows[-1])
        await publish_all(connection, [Message(*row[: len(Message._fields)]) for row in rows])
        self._published.inc(len(rows))
        read = (last.seen, last.published, last.part_after_id)
        self._parts_may_be_open = len(rows) == RELAY_WINDOW_ROWS
        if self._parts_may_be_open:
            await send(database, self._sql(REMEMBER_PART)(*read, last.id))
        else:
            await send(database, self._sql(ADVANCE)(*read))
        return len(rows)

    async def _next_rows(self, database: Driver) -> list[tuple[Any, ...]]:
        if self._parts_may_be_open:
            if rows := await self._select(database, DUE_IN_PARTS):
                return rows
            await send(database, self._sql(FINISH_PARTS)())
            self._parts_may_be_open = False
        return await self._select(database, DUE)

    async def _select(self, database: Driver, which: str) -> list[tuple[Any, ...]]:
        (found,) = await send(database, self._sql(which)(RELAY_WINDOW_ROWS))
        return found.rows

    def _sql(self, text: str) -> Statement:
        return in_schema(self.schema, text)

    async def _try_lock(self, database: Driver) -> bool:
        number = int.from_bytes(hashlib.sha256(f"relay {self.schema}".encode()).digest()[:8], signed=True)
        cursor = await database.execute("SELECT pg_try_advisory_lock(%s)", (number,))
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _refuse_foreign_position(self, database: Driver) -> None:
        cursor = await database.execute(IS_AHEAD.format(schema=self.schema))
        row = await cursor.fetchone()
        if row and row[0]:
            raise PositionAhead(
                "The outbox speaks of transactions that this database has not come to: it was restored from "
                "a dump. Stop the workers and run `python -m shared.operations.provision`, which mends that."
            )

    async def _wait_for_work(self) -> None:
        try:
            await asyncio.wait_for(self.work_available.wait(), RELAY_POLL_SECONDS)
        except TimeoutError:
            return


class Due(NamedTuple):
    """A row of the outbox to publish: its message, and the position at which it was read."""

    message_id: str
    stream: str
    subject: str
    headers: dict[str, str]
    payload: bytes
    id: int
    seen: str
    published: str
    part_after_id: int


async def outbox_lag_seconds(connection: AsyncConnection, schema: str) -> float:
    """Return the age of the oldest committed message that is not published; 0 if there is none."""
    return await connection.scalar(sa.text(WAITS_SECONDS.format(schema=schema))) or 0.0


async def start_over(database: psycopg.AsyncConnection[Any], schema: str) -> None:
    """Reset the relay's position, so that a service's whole outbox is published again.

    The first step of rebuilding a lost stream. A stream ignores messages within its `duplicate_window`; older
    events come twice, which consumers detect by their version.
    """
    await database.execute(START_OVER.format(schema=schema))
