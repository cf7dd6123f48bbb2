"""Settling messages from JetStream: acknowledge, retry later, or move to the dead letters.

A message is acknowledged only after its handler has returned. A message that fails is redelivered after a
delay that grows, and becomes a dead letter after the last attempt, so that it does not block others.
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
"""How much of an error is stored with a dead letter."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from JetStream as handlers see it."""

    subject: str
    headers: dict[str, str]
    body: bytes
    attempt: int
    """The number of this delivery, from 1."""
    published_at: datetime
    stream: str

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt makes the message a dead letter."""
        return self.attempt >= DELIVERIES_MAX

    @classmethod
    def of(cls, message: NatsMessage) -> "Incoming":
        """Convert a message of FastStream."""
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
    """The message can never be handled: it becomes a dead letter without retries."""


Handle = Callable[[Incoming], Awaitable[str | None]]
"""Handles a message; returns the outcome for metrics, or None for `succeeded`."""
StoreDeadLetter = Callable[[Incoming, str, str], Awaitable[None]]
"""Stores a dead letter, given the message, the handler's name and the error."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Runs the handlers of one service on messages and settles them."""

    service: str
    store_dead_letter: StoreDeadLetter

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
                async with _reporting_progress(message):
                    outcome = await _handle_when_database_is_back(incoming, handle) or "succeeded"
            except Exception as error:  # noqa: BLE001 - the message must be settled after any error
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
            return await self._move_to_dead_letters(message, incoming, handler, error)
        if incoming.is_last_attempt and not isinstance(error, Unavailable):
            return await self._move_to_dead_letters(message, incoming, handler, error)
        delay = retry_delay_seconds(incoming.attempt)
        log.warning("will be tried again", delay_seconds=delay, exc_info=error, **about)
        await message.nack(delay=delay)
        return "failed" if isinstance(error, Unavailable) else "retried"

    async def _move_to_dead_letters(
        self, message: NatsMessage, incoming: Incoming, handler: str, error: Exception
    ) -> str:
        about = {"handler": handler, "subject": incoming.subject, "attempt": incoming.attempt}
        log.error("moved to the dead letters", exc_info=error, **about)
        try:
            await self.store_dead_letter(
                incoming, handler, f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARACTERS]
            )
        except Exception:
            log.exception("could not store a dead letter, will be tried again", **about)
            await message.nack(delay=max(OUTAGE_RETRY_SECONDS, retry_delay_seconds(incoming.attempt)))
            return "failed"
        await message.ack()
        return "dead_lettered"


def retry_delay_seconds(attempt: int) -> float:
    """Return the pause after a delivery, from 1: it grows up to the last of RETRY_DELAYS_SECONDS."""
    return RETRY_DELAYS_SECONDS[min(attempt, len(RETRY_DELAYS_SECONDS)) - 1]


async def _handle_when_database_is_back(incoming: Incoming, handle: Handle) -> str | None:
    """Handle a message; while the database is away it is held here, so that an outage uses up no attempts."""
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
async def _reporting_progress(message: NatsMessage) -> AsyncIterator[None]:
    """Report progress to JetStream during a long handling, so that it does not redeliver the message."""
    reporting = asyncio.create_task(_report_progress(message))
    try:
        yield
    finally:
        reporting.cancel()


async def _report_progress(message: NatsMessage) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        # A report that fails only causes a redelivery, which every handler has to tolerate.
        with suppress(Exception):
            await message.in_progress()
