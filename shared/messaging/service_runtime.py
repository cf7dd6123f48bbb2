"""A service's handlers bound to a database: a worker without its NATS consumers.

Tests of handlers use it directly; the worker connects it to NATS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import Unavailable
from shared.messaging.dispatcher import Dispatcher, Handler, injected
from shared.messaging.feed_consumer import FeedConsumer
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.messaging.service import Job, Service, StreamConsumer
from shared.persistence.inbox import Inbox
from shared.persistence.unit_of_work import Transactions
from tallystick.messages.base import Instant, Outcome
from tallystick.subjects import Subjects


class Tick(BaseModel):
    """The body of a tick; without `at` its moment is when JetStream stored the message."""

    at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """One service, ready to handle messages."""

    service: Service
    transactions: Transactions
    dispatcher: Dispatcher
    provided: dict[type[Any], Any]
    feed_consumer: FeedConsumer

    @classmethod
    def of(
        cls,
        service: Service,
        engine: AsyncEngine,
        *,
        subjects: Subjects,
        provided: list[Any],
        wake_relay: Callable[[], None],
    ) -> "Runtime":
        """Bind a service's handlers to a database and to the objects they get as arguments."""
        transactions = Transactions(engine, service.schema, subjects, wake_relay)
        by_type = {type(instance): instance for instance in provided}
        inbox = Inbox(service.schema)
        dispatcher = Dispatcher(transactions, inbox, by_type | {Inbox: inbox})
        feed_consumer = FeedConsumer(service, transactions, by_type, subjects)
        return cls(service, transactions, dispatcher, by_type, feed_consumer)

    async def request(self, handler: Handler, body: bytes, now: datetime) -> Outcome:
        """Handle a command or question and return its outcome; never raises."""
        return await self.dispatcher.dispatch(handler, body, now)

    async def command(self, handler: Handler, body: bytes, now: datetime) -> Outcome:
        """Handle a queued command; raises when the outcome is unknown, so that the message is retried."""
        return await self.dispatcher.attempt(handler, body, now)

    async def follow(self, stream_consumer: StreamConsumer, incoming: Incoming) -> None:
        """Handle a message of a durable consumer."""
        extra = injected(stream_consumer.function, self.provided)
        await stream_consumer.function(self.transactions, incoming, *extra)

    async def tick(self, job: Job, incoming: Incoming) -> None:
        """Run a job for the moment of a tick."""
        try:
            tick = Tick.model_validate_json(incoming.body or b"{}")
        except ValidationError as error:
            raise Undeliverable(
                f'a tick\'s body is {{"at": "<RFC 3339>"}}, not {incoming.body[:200]!r}'
            ) from error
        at = tick.at or incoming.published_at
        await job.function(self.transactions, at, *injected(job.function, self.provided))

    async def unfinished(self, before: datetime, limit: int) -> list[tuple[Handler, bytes]]:
        """Find external commands received before a moment without an outcome, because their worker died."""
        table = self.service.table("inbox")
        query = (
            sa.select(table.c.name, table.c.body)
            .where(table.c.outcome.is_(None), table.c.received_at < before)
            .order_by(table.c.received_at)
            .limit(limit)
        )
        async with self.transactions.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [
            (self.service.handlers[row.name], orjson.dumps(row.body))
            for row in rows
            if row.name in self.service.handlers
        ]

    async def finish(self, handler: Handler, body: bytes, now: datetime) -> None:
        """Handle an unfinished external command again; raises Unavailable when it still has no outcome."""
        outcome = await self.dispatcher.dispatch(handler, body, now)
        if outcome.status == "failed":
            raise Unavailable(f"{handler.name} {outcome.command_id} is still unfinished")
