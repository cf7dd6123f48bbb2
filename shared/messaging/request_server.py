"""The request server: receives requests over plain NATS subscriptions and sends the replies.

It does without FastStream, whose consume scope costs more than the round trip itself. Messages without a
waiting caller come through `shared.messaging.jetstream_consumers`.
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
    """A received command that is handled together with others."""

    handler: Handler
    message: Msg
    started: float
    answer: asyncio.Future[Answer] = field(init=False)


@dataclass(slots=True)
class RequestServer:
    """Answers the requests to one service; all its workers share the load."""

    runtime: Runtime
    subjects: Subjects
    answers: Answers
    connection: Client | None = None
    subscriptions: list[Subscription] = field(default_factory=list)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    answered: list["PendingCommand"] = field(default_factory=list)
    """Commands handled together whose replies are not sent yet."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection for requests is open."""
        return self.connection is not None and self.connection.is_connected

    async def start(self, connection: Client) -> None:
        """Subscribe to every command and question of the service; the connection is closed by `stop`."""
        self.connection = connection
        self.subscriptions.clear()
        service = self.runtime.service
        for handler in service.handlers.values():
            subject = self.subjects.request(service.name, handler.name)
            together = handler.kind == "command" and handler.together and handler.reveal is None
            callback = self._grouped_callback(handler) if together else self._single_callback(handler)
            subscription = await connection.subscribe(subject, queue=service.name, cb=callback)
            self.subscriptions.append(subscription)
        await connection.flush()  # the server has all subscriptions after this

    async def stop(self) -> None:
        """Stop receiving requests, and answer those that were received."""
        if self.connection is None:
            return
        for subscription in self.subscriptions:
            with suppress(NatsError):
                await subscription.drain()  # type: ignore[no-untyped-call]
        await self.runtime.dispatcher.close()
        if self.answering:
            await asyncio.wait(self.answering, timeout=GRACEFUL_STOP_SECONDS)
        await self.close_connection()

    async def close_connection(self) -> None:
        """Close the connection; pending requests are answered over the next one."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None

    def _single_callback(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        # A limit for each kind: commands that wait for an external system do not delay questions.
        slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

        def done(task: asyncio.Task[None]) -> None:
            self.answering.discard(task)
            slots.release()

        async def receive(message: Msg) -> None:
            # Beyond the limit requests wait in the subscription, and their callers with them.
            await slots.acquire()
            task = asyncio.create_task(self._answer(handler, message))
            self.answering.add(task)
            task.add_done_callback(done)

        return receive

    def _grouped_callback(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        """Return a callback for commands handled together, without tasks: their group limits the queue."""
        dispatcher = self.runtime.dispatcher

        async def receive(message: Msg) -> None:
            pending = PendingCommand(handler, message, time.perf_counter())
            try:
                pending.answer = dispatcher.submit(handler, message.data, utc_now(), message.headers)
            except Exception as error:  # noqa: BLE001 - the caller gets an answer after any error
                pending.answer = asyncio.get_running_loop().create_future()
                pending.answer.set_exception(error)
            pending.answer.add_done_callback(lambda _: self._send_soon(pending))

        return receive

    def _send_soon(self, pending: "PendingCommand") -> None:
        self.answered.append(pending)
        if len(self.answered) == 1:
            # A group's answers arrive in the same iteration of the event loop: one task sends them all.
            task = asyncio.create_task(self._send_answers())
            self.answering.add(task)
            task.add_done_callback(self.answering.discard)

    async def _send_answers(self) -> None:
        sent, self.answered = self.answered, []
        service = self.runtime.service.name
        for pending in sent:
            answer = self._answer_to(pending)
            await self._reply(pending.message, pending.handler, answer.body)
            HANDLED.labels(service, pending.handler.name, answer.status).inc()
            DURATION.labels(service, pending.handler.name).observe(time.perf_counter() - pending.started)

    def _answer_to(self, pending: "PendingCommand") -> Answer:
        error = pending.answer.exception()
        if error is None:
            return pending.answer.result()
        return self.runtime.dispatcher.failure_answer(pending.handler, pending.message.data, error)

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
