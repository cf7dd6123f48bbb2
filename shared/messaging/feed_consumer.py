"""Following the entities of other services on the feed: from a message to an effect, in one transaction.

Events come from `BILLING_SERVICE_FEED` through the durable consumer `<service>-feed`, more than once and in
any order. A listener keeps what it knows of an entity with `keep_newest`, which tells by the version what is
old.
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
"""How the entity changed (`claimed`); a listener to single events that wants to know has such a parameter."""
Begin = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
"""Opens one more transaction for the same event."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event of the feed and when it was told."""

    event: Event
    name: str
    at: datetime
    trace: dict[str, str] = field(default_factory=dict)
    """The headers of the trace that it belongs to."""


@dataclass(frozen=True, slots=True)
class FeedConsumer:
    """Hands the events of the feed to a service's listeners."""

    service: Service
    transactions: Transactions
    provided: dict[type[Any], Any]
    subjects: Subjects
    groups: dict[str, GroupCommit[ReceivedEvent, None]] = field(default_factory=dict)
    """By listener, those who take several events in one transaction."""

    def handler_name(self, incoming: Incoming) -> str:
        """Who takes a message, for metrics and dead letters."""
        event_handler = self._event_handler(incoming)
        return event_handler.name if event_handler else "nobody"

    async def hear(self, incoming: Incoming) -> None:
        """Deal with one message of the feed; what nobody here listens to is passed over.

        Raises Undeliverable where the body is not what its subject says.
        """
        event_handler = self._event_handler(incoming)
        if event_handler is None:
            return
        received = self._read(event_handler, incoming)
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

    def _read(self, event_handler: EventHandler, incoming: Incoming) -> ReceivedEvent:
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
    """Write what an event says of an entity, unless as much or more is known; whether it was news.

    The table has the entity's id as its primary key and a column `version`; `values` hold both.
    """
    return bool(await keep_newest_of(work, table, [values]))


async def keep_newest_of(
    work: UnitOfWork, table: type[DeclarativeBase], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The same for several entities, or versions of one, in one statement; those rows that were news.

    Rows are locked in the order of their keys, so that two batches cannot wait for each other.
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
    known = mapped.c
    news = await work.session.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_=changed, where=known.version < statement.excluded.version
        ).returning(*(known[key] for key in keys))
    )
    return [newest[tuple(row)] for row in news.all()]
