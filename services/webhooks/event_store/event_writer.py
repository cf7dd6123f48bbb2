"""Writer of incoming events: events that arrive together are committed together, each stored once."""

import asyncio
from collections.abc import Callable, Sequence

import orjson
import psycopg
import structlog

from services.webhooks.domain.stripe_event import IncomingEvent, in_mode
from shared.errors import Unavailable
from shared.observability.tracing import handling, outgoing_headers
from shared.persistence.group_commit import GroupCommit
from shared.persistence.sql_pipeline import BoundStatement, Driver, Statement, send
from shared.tuning import DATABASE_CONNECT_TIMEOUT_SECONDS
from tallystick.subjects import STRIPE_EVENTS_STREAM, Subjects

log = structlog.get_logger()

COMMIT_TIMEOUT_SECONDS = 10.0
"""Stripe times out after about this long; a 503 before that makes it send the event again."""
GROUP_MAX_EVENTS = 64
"""Payloads have at most 512 KiB, so a group has at most 32 MiB."""
WAITING_MAX_EVENTS = 2_000
"""Events in memory at the same time; more get a 503, and Stripe sends them again."""
COMMIT_ATTEMPTS = 2
"""A connection that was closed while idle fails on first use; the second attempt opens a new one."""

STORE_EVENTS = Statement("""
    WITH incoming AS (
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bytea[], $7::text[],
            $8::text[]
        ) AS event (event_id, type, status, created_at, received_at, payload, subject, problem)
    ), stored AS (
        INSERT INTO webhooks.stripe_events
            (event_id, type, status, created_at, received_at, payload, last_error)
        SELECT event_id, type, status, created_at, received_at, payload, problem FROM incoming
        ON CONFLICT DO NOTHING
        RETURNING event_id
    ), told AS (
        INSERT INTO webhooks.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
        SELECT event_id, $9, subject, $10::jsonb, payload, event_id, received_at
        FROM incoming JOIN stored USING (event_id) WHERE problem IS NULL
    )
    SELECT event_id FROM stored
""")
"""One statement in one transaction and one round trip; returns the ids of new events."""


class EventWriter:
    """Stores Stripe events over one connection; each commit includes all events that are waiting."""

    def __init__(self, database_url: str, subjects: Subjects, *, livemode: bool | None = None) -> None:
        self._database_url = database_url
        self._livemode = livemode
        self._subjects = subjects
        self.wake_relay: Callable[[], None] = _no_relay
        """Called after each commit; set by a process that runs a relay."""
        self._connection: Driver | None = None
        self._group: GroupCommit[IncomingEvent, bool] = GroupCommit(
            self._commit,
            service="webhooks",
            name="stripe_events",
            isolates=lambda error: not isinstance(error, Unavailable),
            max_items=GROUP_MAX_EVENTS,
            max_waiting=WAITING_MAX_EVENTS,
        )

    async def store(self, event: IncomingEvent) -> bool:
        """Commit an event and its outbox message; return False if it was stored before.

        An event of another mode than Stripe's key is stored as ignored, and not published.

        Raises Unavailable if it cannot be stored now.
        """
        return await self._group.submit(in_mode(event, self._livemode))

    async def close(self) -> None:
        """Wait for the current commit and close the connection."""
        await self._group.close()
        await self._disconnect()

    async def _commit(self, events: Sequence[IncomingEvent]) -> list[bool | Exception]:
        with handling("webhooks.store_events", None):
            insert = self._insert_statement(events)
            for attempt in range(1, COMMIT_ATTEMPTS + 1):
                try:
                    async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                        new = await self._store(insert)
                except (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError) as error:
                    await self._disconnect()
                    if attempt == COMMIT_ATTEMPTS or isinstance(error, TimeoutError):
                        raise Unavailable(
                            f"the database is away: {str(error) or type(error).__name__}"
                        ) from error
                else:
                    self.wake_relay()
                    return [_pop_new(new, event.event_id) for event in events]
        raise AssertionError("the last try returns or raises")

    def _insert_statement(self, events: Sequence[IncomingEvent]) -> BoundStatement:
        # Sorted by id, so that two replicas that insert the same events cannot deadlock.
        first = {event.event_id: event for event in reversed(events)}
        unique = [first[event_id] for event_id in sorted(first)]
        headers = {"content-type": "application/json"} | outgoing_headers()
        return STORE_EVENTS(
            [event.event_id for event in unique],
            [event.type for event in unique],
            [event.status for event in unique],
            [event.created_at for event in unique],
            [event.received_at for event in unique],
            [event.payload for event in unique],
            [self._subjects.stripe_event(event.type) for event in unique],
            [event.problem for event in unique],
            STRIPE_EVENTS_STREAM,
            orjson.dumps(headers).decode(),
        )

    async def _store(self, insert: BoundStatement) -> set[str]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
        (stored,) = await send(self._connection, insert)
        return {row[0] for row in stored.rows}

    async def _connect(self) -> Driver:
        return await psycopg.AsyncConnection.connect(
            self._database_url,
            autocommit=True,
            connect_timeout=DATABASE_CONNECT_TIMEOUT_SECONDS,
            application_name="webhooks-ingest",
            options=f"-c statement_timeout={int(COMMIT_TIMEOUT_SECONDS)}s -c timezone=UTC",
        )

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _no_relay() -> None:
    """Do nothing; the relay polls."""


def _pop_new(new: set[str], event_id: str) -> bool:
    """Return whether an event is new; of several with the same id in a group only the first is."""
    if event_id not in new:
        return False
    new.remove(event_id)
    return True
