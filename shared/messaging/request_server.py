"""Requests and their replies, over a plain NATS subscription.

Somebody waits for each of them, so they do without the framework's consume scope, which costs more than the
round trip itself. What does not wait for an answer comes through `shared.messaging.jetstream_consumers`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.clock import utc_now
from shared.messaging.answers import Answers
from shared.messaging.command_batch import Answer
from shared.messaging.dispatcher import Handler
from shared.messaging.service_runtime import Runtime
from shared.observability.metrics import DURATION, HANDLED
from shared.observability.tracing import handling
from shared.tuning import GRACEFUL_STOP_SECONDS, REQUESTS_AT_ONCE
from tallystick.subjects import Subjects


@dataclass(slots=True)
class PendingCommand:
    """A command that is handled together with others."""

    handler: Handler
    message: Msg
    started: float
    answer: asyncio.Future[Answer] = field(init=False)


@dataclass(slots=True)
class RequestServer:
    """Answers the requests to one service; any number of its workers share them."""

    runtime: Runtime
    subjects: Subjects
    answers: Answers
    connection: Client | None = None
    subscriptions: list[Subscription] = field(default_factory=list)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    decided: list["PendingCommand"] = field(default_factory=list)
    """Commands handled together whose answers are not sent yet."""

    @property
    def is_heard(self) -> bool:
        """Whether NATS can bring requests."""
        return self.connection is not None and self.connection.is_connected

    async def start(self, connection: Client) -> None:
        """Subscribe to every command and question of the service; the connection is closed by `stop`."""
        self.connection = connection
        self.subscriptions.clear()
        service = self.runtime.service
        for handler in service.handlers.values():
            subject = self.subjects.request(service.name, handler.name)
            together = handler.kind == "command" and handler.together and handler.reveal is None
            take = self._grouping(handler) if together else self._taking(handler)
            subscription = await connection.subscribe(subject, queue=service.name, cb=take)
            self.subscriptions.append(subscription)
        await connection.flush()  # from here on the server knows of all of them

    async def stop(self) -> None:
        """Take no more requests, and answer those that were taken."""
        if self.connection is None:
            return
        for subscription in self.subscriptions:
            with suppress(NatsError):
                await subscription.drain()  # type: ignore[no-untyped-call]
        await self.runtime.dispatcher.close()
        if self.answering:
            await asyncio.wait(self.answering, timeout=GRACEFUL_STOP_SECONDS)
        await self.lose()

    async def lose(self) -> None:
        """Let go of the connection; requests that were taken are answered over the next one."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None

    def _taking(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        # For each kind: those that wait for somebody outside keep no question from its answer.
        places = asyncio.Semaphore(REQUESTS_AT_ONCE)

        def done(task: asyncio.Task[None]) -> None:
            self.answering.discard(task)
            places.release()

        async def take(message: Msg) -> None:
            # Beyond the limit requests wait in the subscription, and with them whoever asks too fast.
            await places.acquire()
            task = asyncio.create_task(self._answer(handler, message))
            self.answering.add(task)
            task.add_done_callback(done)

        return take

    def _grouping(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        """For commands handled together: no task and no place for each, their group bounds how many wait."""
        dispatcher = self.runtime.dispatcher

        async def take(message: Msg) -> None:
            taken = PendingCommand(handler, message, time.perf_counter())
            try:
                taken.answer = dispatcher.submit(handler, message.data, utc_now(), message.headers)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller hears of it
                taken.answer = asyncio.get_running_loop().create_future()
                taken.answer.set_exception(error)
            taken.answer.add_done_callback(lambda _: self._send_soon(taken))

        return take

    def _send_soon(self, taken: "PendingCommand") -> None:
        self.decided.append(taken)
        if len(self.decided) == 1:
            # Those of one group are decided in the same turn of the loop, and sent by one task.
            task = asyncio.create_task(self._send_decided())
            self.answering.add(task)
            task.add_done_callback(self.answering.discard)

    async def _send_decided(self) -> None:
        sent, self.decided = self.decided, []
        service = self.runtime.service.name
        for taken in sent:
            answer = self._answer_to(taken)
            await self._reply(taken.message, taken.handler, answer.body)
            HANDLED.labels(service, taken.handler.name, answer.status).inc()
            DURATION.labels(service, taken.handler.name).observe(time.perf_counter() - taken.started)

    def _answer_to(self, taken: "PendingCommand") -> Answer:
        error = taken.answer.exception()
        if error is None:
            return taken.answer.result()
        return self.runtime.dispatcher.unanswered(taken.handler, taken.message.data, error)

    async def _answer(self, handler: Handler, message: Msg) -> None:
        service = self.runtime.service.name
        started = time.perf_counter()
        with handling(f"{service}.{handler.name}", message.headers):
            outcome = await self.runtime.request(handler, message.data, utc_now())
        await self._reply(message, handler, outcome.to_json())
        HANDLED.labels(service, handler.name, outcome.status).inc()
        DURATION.labels(service, handler.name).observe(time.perf_counter() - started)

    async def _reply(self, message: Msg, handler: Handler, body: bytes) -> None:
        if not message.reply:
            return
        dispatcher = self.runtime.dispatcher
        await self.answers.send(
            message.reply, body, too_large=lambda: dispatcher.too_large(handler, message.data).to_json()
        )
