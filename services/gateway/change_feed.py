"""The change feed as server-sent events; a client resumes after a broken connection with `Last-Event-ID`.

One reader serves all connections of the process. Each connection has a queue; a client that falls too far
behind is disconnected and resumes from `Last-Event-ID`, the event's sequence number in the stream.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import nats.errors
import structlog
from fastapi.sse import format_sse_event
from nats.js.errors import APIError

from services.gateway.problem_details import ProblemError
from tallystick.client import Client, FeedEvent, TallystickError
from tallystick.messages.base import Customer
from tallystick.subjects import CHANGE_FEED_STREAM

log = structlog.get_logger()

CONNECTIONS_MAX = 1_000
"""Open streams of one process: each is a socket and a queue."""
CONNECTIONS_PER_CUSTOMER_MAX = 20
"""Browser tabs; more is a loop."""
QUEUE_MAX_EVENTS = 1_000
"""How many events a client may be behind before it is disconnected; it resumes from the stream."""
HEARTBEAT_SECONDS = 15.0
"""Proxies close a silent connection after 30 or 60 seconds."""
RETRY_AFTER_MS = 2_000
"""How long a browser waits before it reconnects."""
RESTART_SECONDS = 1.0

EventFilter = Callable[[FeedEvent], bool]
EventFormatter = Callable[[FeedEvent], bytes]


@dataclass(slots=True, eq=False)
class _Subscriber:
    is_wanted: EventFilter
    queue: asyncio.Queue[FeedEvent | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_MAX_EVENTS + 1)
    )

    def put(self, event: FeedEvent) -> bool:
        """Queue an event; return False, and end the stream, if the queue is full."""
        if self.queue.qsize() < QUEUE_MAX_EVENTS:
            self.queue.put_nowait(event)
            return True
        self.queue.put_nowait(None)
        return False


@dataclass(slots=True)
class ChangeFeed:
    """Reads the feed once and forwards its events to all subscribers."""

    client: Client
    is_reading: bool = False
    _subscribers: dict[_Subscriber, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Read the feed until cancelled; after an interruption clients reconnect and catch up."""
        while True:
            with contextlib.suppress(TallystickError):
                async with self.client.events(check_versions=False) as feed:
                    self.is_reading = True
                    async for event in feed:
                        self._forward(event)
            self.is_reading = False
            log.warning("the live feed was interrupted")
            self._disconnect_all()
            await asyncio.sleep(RESTART_SECONDS)

    def subscribe(
        self, key: str, is_wanted: EventFilter, after: int | None, until: float, format_as: EventFormatter
    ) -> AsyncIterator[bytes]:
        """Stream the events that pass a filter, from now on or after a sequence number, as bytes to send.

        `key` identifies whose connections are counted together, `until` is a time of the event loop's clock.
        Raises ProblemError if there are too many connections.
        """
        self._check_reading()
        same_key = sum(1 for other in self._subscribers.values() if other == key)
        if len(self._subscribers) >= CONNECTIONS_MAX or same_key >= CONNECTIONS_PER_CUSTOMER_MAX:
            raise ProblemError("too_many_requests", "Too many open streams.", headers={"Retry-After": "5"})
        subscriber = _Subscriber(is_wanted)
        self._subscribers[subscriber] = key
        return self._stream(subscriber, after, until, format_as)

    async def history(self, customer: Customer, limit: int) -> list[FeedEvent]:
        """Return the latest events about a customer that the feed has, oldest first. Raises ProblemError."""
        self._check_reading()
        found: deque[FeedEvent] = deque(maxlen=limit)
        try:
            async with self.client.events(customer=customer, start="all", check_versions=False) as feed:
                while feed.pending:
                    found.append(await anext(feed))
        except TallystickError as error:
            raise ProblemError("unavailable", "The feed cannot be read just now.") from error
        return list(found)

    async def latest(self, limit: int) -> list[FeedEvent]:
        """Return the latest events of the feed, oldest first. Raises ProblemError."""
        self._check_reading()
        try:
            info = await self.client.connection.jetstream().stream_info(CHANGE_FEED_STREAM)
            found: deque[FeedEvent] = deque(maxlen=limit)
            start = max(1, info.state.last_seq - limit + 1)
            async with self.client.events(start=start, check_versions=False) as feed:
                while feed.pending:
                    found.append(await anext(feed))
        except (TallystickError, APIError, nats.errors.Error, TimeoutError) as error:
            raise ProblemError("unavailable", "The feed cannot be read just now.") from error
        return list(found)

    async def _stream(
        self, subscriber: _Subscriber, after: int | None, until: float, format_as: EventFormatter
    ) -> AsyncIterator[bytes]:
        last = 0
        try:
            yield f"retry: {RETRY_AFTER_MS}\n\n".encode()
            if after is not None:
                last = await self._resume_position(after)
                async for event in self._missed(last):
                    last = event.sequence
                    if subscriber.is_wanted(event):
                        yield format_as(event)
            async for found in _receive(subscriber.queue, until):
                if found is None:
                    yield b": here\n\n"
                elif found.sequence > last:
                    yield format_as(found)
        finally:
            self._subscribers.pop(subscriber, None)

    async def _resume_position(self, sequence: int) -> int:
        """Return the sequence number, or 0 if the stream was rebuilt and has not reached it yet."""
        info = await self.client.connection.jetstream().stream_info(CHANGE_FEED_STREAM)
        return sequence if sequence <= info.state.last_seq else 0

    async def _missed(self, after: int) -> AsyncIterator[FeedEvent]:
        """Read the stream after a sequence number up to its present end; later events are already queued."""
        async with self.client.events(start=after + 1, check_versions=False) as feed:
            while feed.pending:
                yield await anext(feed)

    def _check_reading(self) -> None:
        if not self.is_reading:
            raise ProblemError(
                "unavailable", "The feed cannot be read just now.", headers={"Retry-After": "2"}
            )

    def _forward(self, event: FeedEvent) -> None:
        slow = [
            subscriber
            for subscriber in self._subscribers
            if subscriber.is_wanted(event) and not subscriber.put(event)
        ]
        for subscriber in slow:
            self._subscribers.pop(subscriber)

    def _disconnect_all(self) -> None:
        for subscriber in self._subscribers:
            subscriber.queue.put_nowait(None)
        self._subscribers.clear()


async def _receive(queue: asyncio.Queue[FeedEvent | None], until: float) -> AsyncIterator[FeedEvent | None]:
    """Yield queued events, and None as a heartbeat; end at `until` or when the subscriber is disconnected."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        try:
            async with asyncio.timeout(min(HEARTBEAT_SECONDS, until - loop.time())):
                event = await queue.get()
        except TimeoutError:
            yield None
        else:
            if event is None:
                return
            yield event


def format_event(event: FeedEvent) -> bytes:
    """Format an event: its sequence number as id, its type as event, its body as data."""
    name = f"{event.entity}.{event.event}V{event.name.schema}"
    return format_sse_event(data_str=event.data.decode(), event=name, id=str(event.sequence))


def format_change_notice(event: FeedEvent) -> bytes:
    """Format a notice that something has changed, without the event's body."""
    return format_sse_event(data_str="", event="change", id=str(event.sequence))


def about_customer(customer: Customer) -> EventFilter:
    """Return a filter for the events about a customer."""
    return lambda event: event.customer == customer.token
