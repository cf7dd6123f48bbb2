"""Subscribes a service's handlers to JetStream: queued commands, ticks, the service feed and other streams.

The only module that uses FastStream's subscribers. Bodies stay bytes until the strict parsing of
`shared.messaging.message_parsing`, so that every malformed body gets the same answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.js.errors import ServiceUnavailableError

from shared.clock import utc_now
from shared.messaging.answers import Answers
from shared.messaging.redelivery import Delivery, Handle, Incoming, Undeliverable
from shared.messaging.service_runtime import Runtime
from shared.observability.metrics import HANDLED
from shared.tuning import PULL_BATCH_MESSAGES, PULL_RETRY_SECONDS, PULL_TIMEOUT_SECONDS
from tallystick.subjects import COMMANDS_STREAM, REPLY_TO_HEADER, SERVICE_FEED_STREAM, TICKS_STREAM


@dataclass(frozen=True, slots=True)
class Durable:
    """A durable consumer that a worker needs."""

    stream: str
    name: str


class PausingPull:
    """A pull subscription that pauses after a failed pull.

    FastStream's pull loop ignores a closed connection and a stream that does not answer, and pulls again at
    once without awaiting anything, so that no other task of the process would run again.
    """

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def fetch(self, *, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109 - FastStream's call
        """Fetch the next messages."""
        try:
            messages: list[Msg] = await self._subscription.fetch(batch=batch, timeout=timeout)
        except (ConnectionClosedError, ServiceUnavailableError):
            await asyncio.sleep(PULL_RETRY_SECONDS)
            raise
        return messages

    async def unsubscribe(self) -> None:
        """Unsubscribe, unless the connection is closed."""
        with suppress(ConnectionClosedError):
            await self._subscription.unsubscribe()


@dataclass(frozen=True, slots=True)
class JetStreamConsumers:
    """Subscribes one service's handlers to a broker."""

    broker: NatsBroker
    runtime: Runtime
    delivery: Delivery
    inbox_prefix: str
    answers: Answers
    durables: list[Durable] = field(default_factory=list)
    """The durable consumers that the service needs."""

    def subscribe(self) -> None:
        """Subscribe to queued commands, ticks, the service feed and the followed streams."""
        service = self.runtime.service
        if any(handler.kind != "question" for handler in service.handlers.values()):
            commands = Durable(COMMANDS_STREAM, f"{service.name}-commands")
            self._consume(commands, _last_token, self._handle_command)
        if service.jobs:
            ticks = Durable(TICKS_STREAM, f"{service.name}-ticks")
            self._consume(ticks, _last_token, self._handle_tick)
        if service.event_handlers:
            feed = Durable(SERVICE_FEED_STREAM, f"{service.name}-feed")
            feed_consumer = self.runtime.feed_consumer
            self._consume(feed, feed_consumer.handler_name, feed_consumer.consume, batch=service.feed_batch)
        for stream_consumer in service.stream_consumers:
            followed = Durable(stream_consumer.stream, stream_consumer.consumer)
            follow = partial(self.runtime.follow, stream_consumer)
            self._consume(followed, partial(_fixed_name, stream_consumer.name), follow)
        self._export_dead_letter_counters()

    def _export_dead_letter_counters(self) -> None:
        """Export counters of dead letters from 0; to Prometheus a counter born at 1 has not increased."""
        service = self.runtime.service
        names = [
            *(name for name, handler in service.handlers.items() if handler.kind != "question"),
            *service.jobs,
            *(event_handler.name for event_handler in service.event_handlers.values()),
            *(stream_consumer.name for stream_consumer in service.stream_consumers),
        ]
        for name in names:
            HANDLED.labels(service.name, name, "dead_lettered")

    async def start(self) -> None:
        """Connect to NATS and start consuming."""
        await self.broker.start()
        for subscriber in self.broker.subscribers:
            subscriber.subscription = PausingPull(subscriber.subscription)  # type: ignore[attr-defined]

    async def stop(self) -> None:
        """Stop every subscriber, also if stopping another one fails, and then the broker."""
        for subscriber in self.broker.subscribers:
            with suppress(Exception):
                await subscriber.stop()
        with suppress(Exception):
            await self.broker.stop()

    def _consume(
        self,
        durable: Durable,
        name_of: Callable[[Incoming], str],
        handle: Handle,
        *,
        batch: int = PULL_BATCH_MESSAGES,
    ) -> None:
        async def consume(message: NatsMessage) -> None:
            await self.delivery.deliver(message, name_of, handle)

        self.broker.subscriber(
            durable.name,
            durable=durable.name,
            stream=JStream(durable.stream, declare=False),
            pull_sub=PullSub(batch_size=batch, timeout=PULL_TIMEOUT_SECONDS),
            # FastStream does not take it from the connection: replies would go to the shared `_INBOX`.
            inbox_prefix=self.inbox_prefix.encode() + b".",
            decoder=_undecoded,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            title=durable.name,
        )(consume)
        self.durables.append(durable)

    async def _handle_command(self, incoming: Incoming) -> str:
        handler = self.runtime.service.handlers.get(_last_token(incoming))
        if handler is None or handler.kind == "question":
            raise Undeliverable(f"nobody handles commands on {incoming.subject}")
        outcome = await self.runtime.command(handler, incoming.body, utc_now())
        if reply_to := incoming.headers.get(REPLY_TO_HEADER):
            dispatcher = self.runtime.dispatcher
            await self.answers.send(
                reply_to,
                outcome.to_json(),
                too_large=lambda: dispatcher.too_large(handler, incoming.body).to_json(),
            )
        if outcome.error and outcome.error.code == "invalid_message":
            raise Undeliverable(f"invalid_message: {outcome.error.details}")
        return outcome.status

    async def _handle_tick(self, incoming: Incoming) -> None:
        job = self.runtime.service.jobs.get(_last_token(incoming))
        if job is None:
            raise Undeliverable(f"nobody has the job of {incoming.subject}")
        await self.runtime.tick(job, incoming)


async def _undecoded(message: NatsMessage) -> NatsMessage:
    """Return the message as it is; FastStream's default decoder would parse JSON."""
    return message


def _last_token(incoming: Incoming) -> str:
    return incoming.subject.rpartition(".")[2]


def _fixed_name(name: str, _: Incoming) -> str:
    return name
