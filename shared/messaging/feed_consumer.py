"""The feed consumer: applies events of other services, each in one transaction.

Events come from `BILLING_SERVICE_FEED` through the durable consumer `<service>-feed`, more than once and in
any order. An event handler stores the newest version of an entity with `keep_newest`, which ignores older
versions.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NewType, cast

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase

from shared.messaging.dispatcher import injected
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.messaging.service import EventHandler, Service
from shared.observability.tracing import handling, trace_headers
from shared.persistence.database import is_conflict, is_database_away
from shared.persistence.group_commit import GroupCommit
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from shared.tuning import DATABASE_CONFLICT_TRIES
from tallystick.messages.base import Event
from tallystick.subjects import Subjects

EventName = NewType("EventName", str)
"""The name of the change (`claimed`), for a handler of single events that has a parameter of this type."""
Begin = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
"""Opens another transaction for the same event."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event of the feed and when it was published."""

    event: Event
    name: str
    at: datetime
    trace: dict[str, str] = field(default_factory=dict)
    """The headers of its trace."""


@dataclass(frozen=True, slots=True)
class FeedConsumer:
    """Passes the events of the feed to a service's event handlers."""

    service: Service
    transactions: Transactions
    provided: dict[type[Any], Any]
    subjects: Subjects
    groups: dict[str, GroupCommit[ReceivedEvent, None]] = field(default_factory=dict)
    """The groups of event handlers that take several events in one transaction, by name."""

    def handler_name(self, incoming: Incoming) -> str:
        """Return the name of a message's event handler, for metrics and dead letters."""
        event_handler = self._event_handler(incoming)
        return event_handler.name if event_handler else "nobody"

    async def consume(self, incoming: Incoming) -> None:
        """Apply one message of the feed; a message without an event handler is ignored.

        Raises Undeliverable when the body does not match its subject.
        """
        event_handler = self._event_handler(incoming)
        if event_handler is None:
            return
        received = self._parse(event_handler, incoming)
        if event_handler.kind == "together":
            await self._group(event_handler).submit(received)
            return
        for tries_left in reversed(range(DATABASE_CONFLICT_TRIES)):
            try:
                await self._handle(event_handler, received)
            except Exception as error:
                if not (is_conflict(error) and tries_left):
                    raise
            else:
                return

    def _event_handler(self, incoming: Incoming) -> EventHandler | None:
        try:
            subject = self.subjects.parse_event(incoming.subject)
        except ValueError:
            return None
        return self.service.event_handlers.get((subject.entity, subject.schema))

    def _parse(self, event_handler: EventHandler, incoming: Incoming) -> ReceivedEvent:
        try:
            event = event_handler.event.model_validate_json(incoming.body)
        except ValidationError as error:
            raise Undeliverable(f"not a {event_handler.event.__name__}: {error.errors()[:3]}") from error
        name = self.subjects.parse_event(incoming.subject).event
        at = max(incoming.published_at, event.occurred_at)
        return ReceivedEvent(event, name, at, trace_headers(incoming.headers))

    async def _handle(self, event_handler: EventHandler, received: ReceivedEvent) -> None:
        named = self.provided | {EventName: EventName(received.name)}
        further = injected(event_handler.function, named)
        begin = partial(self._begin, [received])
        if event_handler.kind == "in_parts":
            await event_handler.function(begin, received.event, *further)
            return
        async with begin() as work:
            await event_handler.function(work, received.event, *further)

    def _group(self, event_handler: EventHandler) -> GroupCommit[ReceivedEvent, None]:
        if event_handler.name not in self.groups:
            self.groups[event_handler.name] = GroupCommit(
                partial(self._handle_together, event_handler),
                service=self.service.name,
                name=event_handler.name,
                isolates=lambda error: not is_database_away(error),
            )
        return self.groups[event_handler.name]

    async def _handle_together(
        self, event_handler: EventHandler, group: Sequence[ReceivedEvent]
    ) -> Sequence[None]:
        traces = {received.event.caused_by: received.trace for received in group}
        traced = next((cause for cause, trace in traces.items() if trace), None)
        with handling(f"{self.service.name}.{event_handler.name}", traces.pop(traced) if traced else None):
            async with self._begin(group) as work:
                work.traces = traces
                further = injected(event_handler.function, self.provided)
                await event_handler.function(work, [received.event for received in group], *further)
        return [None] * len(group)

    @asynccontextmanager
    async def _begin(self, group: Sequence[ReceivedEvent]) -> AsyncIterator[UnitOfWork]:
        now = max(received.at for received in group)
        async with self.transactions.begin(caused_by=group[0].event.caused_by, now=now) as work:
            yield work


async def keep_newest(work: UnitOfWork, table: type[DeclarativeBase], **values: Any) -> bool:
    """Upsert an entity unless the stored version is as new; return whether a row was written.

    The table has the entity's id as its primary key and a column `version`; `values` hold both.
    """
    return bool(await keep_newest_of(work, table, [values]))


async def keep_newest_of(
    work: UnitOfWork, table: type[DeclarativeBase], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Upsert several entities, or versions of one, in one statement; return the rows that were written.

    Rows are locked in the order of their keys, so that two batches cannot deadlock.
    """
    keys = [column.name for column in table.__table__.primary_key]

    def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[key] for key in keys)

    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row["version"] > newest.get(key_of(row), {"version": 0})["version"]:
            newest[key_of(row)] = row
    if not newest:
        return []
    mapped = cast(sa.Table, table.__table__)
    statement = insert(mapped).values([newest[key] for key in sorted(newest)])
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    columns = mapped.c
    written = await work.session.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_=changed, where=columns.version < statement.excluded.version
        ).returning(*(columns[key] for key in keys))
    )
    return [newest[tuple(row)] for row in written.all()]
