"""The unit of work: one transaction with the rows it changes and the messages it emits.

Handlers change rows through `session` and `run`, and emit messages with `emit`, `put` and `send`. They never
commit: the code that opened the transaction does, and messages are published only after that.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from psycopg.errors import UniqueViolation
from pydantic import BaseModel, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from shared.errors import ConcurrentDuplicate
from shared.ids import new_id
from shared.observability.tracing import outgoing_headers
from shared.persistence import outbox
from shared.persistence.outbox import OutboxMessage
from shared.persistence.sql_pipeline import COMMIT, BoundStatement, Driver, StatementResult, roll_back, send
from tallystick.messages.base import Command, Customer, Event
from tallystick.subjects import (
    CHANGE_FEED_STREAM,
    COMMANDS_STREAM,
    Subjects,
    kv_subject,
)

CLAIMED_IN = "inbox"
"""The prefix of the names of the tables into which claims insert: the inbox and its partitions."""
Traces = dict[str, dict[str, str]]
KV_DELETE_HEADERS = {"KV-Operation": "DEL"}


@dataclass(frozen=True, slots=True)
class PooledConnection:
    """A connection from the pool, checked out for one transaction.

    SQLAlchemy's `Connection` is created only with a session, because that takes as long as a statement.
    """

    engine: AsyncEngine
    pooled: sa.PoolProxiedConnection

    @property
    def driver(self) -> Driver:
        """The psycopg connection below SQLAlchemy."""
        return cast(Driver, self.pooled.driver_connection)

    def session(self) -> AsyncSession:
        """Create a SQLAlchemy session on this connection."""
        connection = sa.Connection(self.engine.sync_engine, self.pooled)
        return AsyncSession(AsyncConnection(self.engine, connection), expire_on_commit=False)


@dataclass(slots=True)
class UnitOfWork:
    """A transaction in progress."""

    connection: PooledConnection
    driver: Driver
    """The psycopg connection below SQLAlchemy, in the same transaction."""
    now: datetime
    """When the message came in, in UTC; handlers use it instead of the clock."""
    caused_by: str
    """The command id, Stripe event id or tick that caused the transaction."""
    subjects: Subjects
    outbox: list[OutboxMessage] = field(default_factory=list)
    deferred: list[BoundStatement] = field(default_factory=list)
    """Statements whose results are not needed: sent at the end, with the outbox and the commit."""
    claims: list[BoundStatement] = field(default_factory=list)
    """Inserts into the inbox, sent after the deferred statements: if such a row exists already, the
    transaction is rolled back."""
    prefetched: list[BoundStatement] = field(default_factory=list)
    """Statements that will be run together later: sent in the same round trip as the first `run`."""
    traces: Traces = field(default_factory=dict)
    """The trace headers of each cause, where commands of several traces share the transaction."""
    _prefetched_results: list[StatementResult] | None = None
    """The results of the prefetched statements, once they are sent."""
    _trace: dict[str, str] | None = None
    """The headers of the current trace; cached at the first use."""
    _session: AsyncSession | None = None

    @property
    def session(self) -> AsyncSession:
        """SQLAlchemy's session in this transaction, created at the first use."""
        if self._session is None:
            self._session = self.connection.session()
        return self._session

    async def run(self, *statements: BoundStatement) -> list[StatementResult]:
        """Run statements in one round trip to Postgres; faster than the session, and returns plain rows."""
        if not self.prefetched:
            return await send(self.driver, *statements)
        if self._prefetched_results is None:
            answers = await send(self.driver, *statements, *self.prefetched)
            self._prefetched_results = answers[len(statements) :]
            return answers[: len(statements)]
        if list(statements) != self.prefetched:
            return await send(self.driver, *statements)
        answers = self._prefetched_results
        self.forget_prefetched()
        return answers

    def forget_prefetched(self) -> None:
        """Discard the prefetched results, so that these statements are run anew."""
        self.prefetched, self._prefetched_results = [], None

    async def flush(self) -> None:
        """Flush the session, if there is one with pending changes."""
        session = self._session
        if session is not None and (session.new or session.dirty or session.deleted):
            await session.flush()

    async def undo(self) -> None:
        """Roll back everything so far; later statements run in a new transaction."""
        if self._session is not None:
            self._session.expunge_all()
        await roll_back(self.driver)
        self.outbox.clear()
        self.deferred.clear()
        self.claims.clear()
        self.forget_prefetched()

    def emit(
        self,
        event: type[Event],
        name: str,
        *,
        customer: Customer | None,
        version: int,
        caused_by: str | None = None,
        **snapshot: BaseModel | JsonValue,
    ) -> str:
        """Put an event on the change feed; `snapshot` is the entity under its own name.

        `caused_by` is set where several commands share the transaction. Returns the event's id.
        """
        if name not in event.names:
            raise ValueError(f"{event.__name__} has no event {name!r}")
        event_id = new_id("evt")
        body = event(
            event_id=event_id,
            occurred_at=self.now,
            version=version,
            caused_by=caused_by or self.caused_by,
            customer=customer,
            **snapshot,
        )
        token = customer.token if customer else event.platform_token
        event_type = f"{event.entity}.{name}V{event.schema_version}"
        self._add(
            stream=CHANGE_FEED_STREAM,
            subject=self.subjects.event(event.entity, token, name, event.schema_version),
            message_id=event_id,
            payload=body.model_dump_json().encode(),
            headers={
                "ce-specversion": "1.0",
                "ce-id": event_id,
                "ce-source": f"/billing/{event.service}",
                "ce-type": f"billing.{event_type}",
                "ce-time": _rfc3339(self.now),
                "ce-subject": token,
                "content-type": "application/json",
            },
            entity=event.entity,
            entity_id=_identity(event, getattr(body, event.entity)),
            version=version,
            caused_by=caused_by,
        )
        return event_id

    def put(self, bucket: str, key: str, value: BaseModel | bytes) -> None:
        """Set a key of a JetStream bucket once this transaction is committed."""
        payload = value if isinstance(value, bytes) else value.model_dump_json().encode()
        self._add(stream=f"KV_{bucket}", subject=kv_subject(bucket, key), payload=payload, headers={})

    def delete(self, bucket: str, key: str) -> None:
        """Delete a key of a JetStream bucket once this transaction is committed."""
        headers = dict(KV_DELETE_HEADERS)
        self._add(stream=f"KV_{bucket}", subject=kv_subject(bucket, key), payload=b"", headers=headers)

    def send(self, command: Command[Any]) -> None:
        """Send a command to another service's queue once this transaction is committed."""
        self._add(
            stream=COMMANDS_STREAM,
            subject=self.subjects.command(command.service, command.name),
            payload=command.model_dump_json().encode(),
            headers={},
        )

    def publish(
        self,
        stream: str,
        subject: str,
        payload: bytes,
        *,
        message_id: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish any other message to a stream once this transaction is committed."""
        self._add(
            stream=stream,
            subject=subject,
            payload=payload,
            headers=dict(headers or {}),
            message_id=message_id,
        )

    def trace(self, cause: str | None = None) -> dict[str, str]:
        """Return the trace headers for a message: those of its cause, else those of the current trace."""
        if cause in self.traces:
            return self.traces[cause]
        if self._trace is None:
            self._trace = outgoing_headers()
        return self._trace

    def _add(self, stream: str, subject: str, payload: bytes, headers: dict[str, str], **more: Any) -> None:
        traced = headers | self.trace(more.get("caused_by"))
        self.outbox.append(OutboxMessage(stream, subject, payload, traced, **more))


@dataclass(frozen=True, slots=True)
class Transactions:
    """Opens transactions for one service; outbox rows are written last, in the order they were added."""

    engine: AsyncEngine
    schema: str
    subjects: Subjects
    wake_relay: Callable[[], None]

    @asynccontextmanager
    async def begin(self, *, caused_by: str, now: datetime) -> AsyncIterator[UnitOfWork]:
        """Open a transaction that is committed at the end of the block and rolled back if it raises."""
        async with self._checked_out() as connection:
            driver = connection.driver
            work = UnitOfWork(connection, driver, now=now, caused_by=caused_by, subjects=self.subjects)
            yield work
            await work.flush()
            await self._commit(work)
        if work.outbox:
            self.wake_relay()

    async def _commit(self, work: UnitOfWork) -> None:
        # The outbox comes after all changes: every row lock is held by then, so its ids follow their order.
        statements = list(work.deferred)
        if work.outbox:
            statements.append(outbox.insert_statement(self.schema, work.outbox, work.caused_by, work.now))
        try:
            await work.run(*statements, *work.claims, COMMIT)
        except UniqueViolation as error:
            if work.claims and (error.diag.table_name or "").startswith(CLAIMED_IN):
                raise ConcurrentDuplicate from error
            raise

    @asynccontextmanager
    async def read(self, *, asked: str, now: datetime) -> AsyncIterator[UnitOfWork]:
        """Open a unit of work for a question: autocommit, without messages."""
        async with self._checked_out() as connection:
            driver = connection.driver
            await driver.set_autocommit(True)
            try:
                yield UnitOfWork(connection, driver, now=now, caused_by=asked, subjects=self.subjects)
            finally:
                if not driver.closed:
                    await driver.set_autocommit(False)

    @asynccontextmanager
    async def _checked_out(self) -> AsyncIterator[PooledConnection]:
        connection = PooledConnection(self.engine, await self.engine.raw_connection())
        driver = connection.driver
        try:
            yield connection
        except BaseException:
            if driver.closed:
                # The other pooled connections are most likely dead too.
                connection.pooled.invalidate()
                await self.engine.dispose()
            else:
                await roll_back(driver)
            raise
        finally:
            connection.pooled.close()


def _identity(event: type[Event], snapshot: BaseModel) -> str:
    """Return what `entity_id` returns for the snapshot's JSON."""
    parts = (getattr(snapshot, name) for name in event.identity)
    return ".".join(part.token if isinstance(part, Customer) else part for part in parts)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
