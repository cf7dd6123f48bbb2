"""A message from JetStream and its fate: acknowledged, tried again later, or moved to the dead letters.

Nothing is acknowledged before its handler has come back, and nothing is redelivered at once: a message that
fails waits longer each time, and one that keeps failing leaves the way for its neighbours.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from faststream.nats import NatsMessage

from shared.errors import Rejected, Unavailable
from shared.observability.metrics import DURATION, HANDLED
from shared.observability.tracing import handling
from shared.persistence.database import is_database_away
from shared.tuning import (
    DELIVERIES_MAX,
    DELIVERIES_WITHOUT_END_MAX,
    OUTAGE_RETRY_SECONDS,
    PROGRESS_SECONDS,
    RETRY_DELAYS_SECONDS,
)

log = structlog.get_logger()

ERROR_MAX_CHARACTERS = 1_000
"""What fits a header and a person's patience."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from JetStream as handlers see it."""

    subject: str
    headers: dict[str, str]
    body: bytes
    attempt: int
    """Which delivery this is, from 1."""
    published_at: datetime
    stream: str

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now makes it a dead letter."""
        return self.attempt >= DELIVERIES_MAX

    @classmethod
    def of(cls, message: NatsMessage) -> "Incoming":
        """The message behind FastStream's."""
        raw = message.raw_message
        metadata = raw.metadata
        return cls(
            subject=raw.subject,
            headers=dict(raw.headers or {}),
            body=raw.data,
            attempt=metadata.num_delivered or 1,
            published_at=metadata.timestamp,
            stream=metadata.stream,
        )


class Undeliverable(Exception):
    """The message can never be handled: it goes to the dead letters without further tries."""


Handle = Callable[[Incoming], Awaitable[str | None]]
"""Handles a message; says what became of it where that is not simply that it succeeded."""
StoreDeadLetter = Callable[[Incoming, str, str], Awaitable[None]]
"""Publishes a dead letter: the message, the handler's name, the error."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Runs handlers over messages for one service."""

    service: str
    bury: StoreDeadLetter

    async def deliver(
        self,
        message: NatsMessage,
        name_of: Callable[[Incoming], str],
        handle: Handle,
    ) -> None:
        """Handle one message and settle it; never raises."""
        incoming = Incoming.of(message)
        handler = name_of(incoming)
        started = time.perf_counter()
        with handling(f"{self.service}.{handler}", incoming.headers):
            try:
                async with _kept_in_progress(message):
                    outcome = await _handle_once_possible(incoming, handle) or "succeeded"
            except Exception as error:  # noqa: BLE001 - whatever it is, the message must be settled
                outcome = await self._settle_failure(message, incoming, handler, error)
            else:
                await message.ack()
        HANDLED.labels(self.service, handler, outcome).inc()
        DURATION.labels(self.service, handler).observe(time.perf_counter() - started)

    async def _settle_failure(
        self, message: NatsMessage, incoming: Incoming, handler: str, error: Exception
    ) -> str:
        about = {"handler": handler, "subject": incoming.subject, "attempt": incoming.attempt}
        if isinstance(error, Undeliverable | Rejected):
            return await self._bury(message, incoming, handler, error)
        if incoming.is_last_attempt and not isinstance(error, Unavailable):
            return await self._bury(message, incoming, handler, error)
        delay = retry_delay_seconds(incoming.attempt)
        log.warning("will be tried again", delay_seconds=delay, exc_info=error, **about)
        await message.nack(delay=delay)
        return "failed" if isinstance(error, Unavailable) else "retried"

    async def _bury(self, message: NatsMessage, incoming: Incoming, handler: str, error: Exception) -> str:
        about = {"handler": handler, "subject": incoming.subject, "attempt": incoming.attempt}
        log.error("moved to the dead letters", exc_info=error, **about)
        try:
            await self.bury(incoming, handler, f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARACTERS])
        except Exception:
            log.exception("could not store a dead letter, will be tried again", **about)
            await message.nack(delay=max(OUTAGE_RETRY_SECONDS, retry_delay_seconds(incoming.attempt)))
            return "failed"
        await message.ack()
        return "dead_lettered"


def retry_delay_seconds(attempt: int) -> float:
    """The pause after the given delivery, from 1: growing, then as long as it gets."""
    return RETRY_DELAYS_SECONDS[min(attempt, len(RETRY_DELAYS_SECONDS)) - 1]


async def _handle_once_possible(incoming: Incoming, handle: Handle) -> str | None:
    """Handle a message; while the database is away it is held here, so an outage costs it no delivery."""
    if incoming.attempt > DELIVERIES_WITHOUT_END_MAX:
        raise Undeliverable(f"delivered {incoming.attempt} times without an end; it may end the worker")
    while True:
        try:
            return await handle(incoming)
        except Exception as error:
            if not is_database_away(error):
                raise
            log.warning("database away, message held", subject=incoming.subject)
            await asyncio.sleep(OUTAGE_RETRY_SECONDS)


@asynccontextmanager
async def _kept_in_progress(message: NatsMessage) -> AsyncIterator[None]:
    """Tell JetStream now and then that a long handling goes on, before somebody else gets the message."""
    beating = asyncio.create_task(_beat(message))
    try:
        yield
    finally:
        beating.cancel()


async def _beat(message: NatsMessage) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        with suppress(
            Exception
        ):  # Without it the message only comes again, which its handler must stand anyway.
            await message.in_progress()
