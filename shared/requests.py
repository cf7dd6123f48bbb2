"""Requests and their replies, over a plain NATS subscription.

Somebody waits for each of them, so they do without the framework's consume scope, which costs more than the
round trip itself. What does not wait for an answer comes through `shared.subscribing`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.clock import utc_now
from shared.commands import Handler
from shared.limits import GRACEFUL_STOP_SECONDS, REQUESTS_AT_ONCE
from shared.metrics import DURATION, HANDLED
from shared.runtime import Runtime
from shared.tracing import handling
from tallystick.subjects import Subjects

log = structlog.get_logger()


@dataclass(slots=True)
class Requests:
    """Answers the requests to one service; any number of its workers share them."""

    runtime: Runtime
    subjects: Subjects
    connection: Client | None = None
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REQUESTS_AT_ONCE))
    subscriptions: list[Subscription] = field(default_factory=list)
    answering: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, connection: Client) -> None:
        """Subscribe to every command and question of the service; the connection is closed by `stop`."""
        self.connection = connection
        service = self.runtime.service
        for handler in service.handlers.values():
            subject = self.subjects.request(service.name, handler.name)
            subscription = await connection.subscribe(subject, queue=service.name, cb=self._taking(handler))
            self.subscriptions.append(subscription)

    async def stop(self) -> None:
        """Take no more requests, and answer those that were taken."""
        if self.connection is None:
            return
        for subscription in self.subscriptions:
            with suppress(NatsError):
                await subscription.drain()  # type: ignore[no-untyped-call]
        if self.answering:
            await asyncio.wait(self.answering, timeout=GRACEFUL_STOP_SECONDS)
        await self.connection.close()
        self.connection = None

    def _taking(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        async def take(message: Msg) -> None:
            # Beyond the limit requests wait in the subscription, and with them whoever asks too fast.
            await self.places.acquire()
            task = asyncio.create_task(self._answer(handler, message))
            self.answering.add(task)
            task.add_done_callback(self._done)

        return take

    def _done(self, task: asyncio.Task[None]) -> None:
        self.answering.discard(task)
        self.places.release()

    async def _answer(self, handler: Handler, message: Msg) -> None:
        service = self.runtime.service.name
        started = time.perf_counter()
        with handling(f"{service}.{handler.name}", message.headers):
            outcome = await self.runtime.request(handler, message.data, utc_now())
        if message.reply:
            try:
                await message.respond(outcome.to_json())
            except NatsError as error:
                # Whoever asked will ask again, and gets the stored outcome.
                log.warning("reply not sent", handler=handler.name, error=str(error))
        HANDLED.labels(service, handler.name, outcome.status).inc()
        DURATION.labels(service, handler.name).observe(time.perf_counter() - started)
