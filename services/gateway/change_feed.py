"""The change feed for browsers, as server-sent events that carry on where a connection broke.

One reader for all connections of this process: each has a queue, and a browser that does not keep up is cut
off and comes back with `Last-Event-ID`, the event's place in the stream.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import structlog
from fastapi.sse import format_sse_event

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
"""What a browser may be behind before it is cut off; it comes back and reads on from the stream."""
HEARTBEAT_SECONDS = 15.0
"""Proxies take a silent connection for dead after 30 or 60 seconds."""
RETRY_AFTER_MS = 2_000
"""How long a browser waits before it connects again."""
RESTART_SECONDS = 1.0

Wanted = Callable[[FeedEvent], bool]
Shown = Callable[[FeedEvent], bytes]


@dataclass(slots=True, eq=False)
class _Listener:
    wanted: Wanted
    queue: asyncio.Queue[FeedEvent | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_MAX_EVENTS + 1)
    )

    def hear(self, event: FeedEvent) -> bool:
        """Queue an event; whether there was room."""
        if self.queue.qsize() < QUEUE_MAX_EVENTS:
            self.queue.put_nowait(event)
            return True
        self.queue.put_nowait(None)
        return False


@dataclass(slots=True)
class LiveFeed:
    """Reads the feed once and hands it to everybody who listens."""

    client: Client
    listening: bool = False
    _listeners: dict[_Listener, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Read for ever; what was missed while the feed was away, connections read again themselves."""
        while True:
            with contextlib.suppress(TallystickError):
                async with self.client.events(check_versions=False) as feed:
                    self.listening = True
                    async for event in feed:
                        self._forward(event)
            self.listening = False
            log.warning("the live feed was interrupted")
            self._cut_off_everybody()
            await asyncio.sleep(RESTART_SECONDS)

    def events(
        self, who: str, wanted: Wanted, after: int | None, until: float, shown: Shown
    ) -> AsyncIterator[bytes]:
        """The events that somebody wants, from now on or after a place in the stream, as bytes to send.

        `until` is a moment of the event loop's clock. Raises ProblemError for one connection too many.
        """
        self._check_listening()
        theirs = sum(1 for other in self._listeners.values() if other == who)
        if len(self._listeners) >= CONNECTIONS_MAX or theirs >= CONNECTIONS_PER_CUSTOMER_MAX:
            raise ProblemError("too_many_requests", "Too many open streams.", headers={"Retry-After": "5"})
        listener = _Listener(wanted)
        self._listeners[listener] = who
        return self._stream(listener, after, until, shown)

    async def history(self, customer: Customer, limit: int) -> list[FeedEvent]:
        """The latest events about a customer that the feed still has, oldest first. Raises ProblemError."""
        self._check_listening()
        found: deque[FeedEvent] = deque(maxlen=limit)
        try:
            async with self.client.events(customer=customer, start="all", check_versions=False) as feed:
                while feed.pending:
                    found.append(await anext(feed))
        except TallystickError as error:
            raise ProblemError("unavailable", "The feed cannot be read just now.") from error
        return list(found)

    async def _stream(
        self, listener: _Listener, after: int | None, until: float, shown: Shown
    ) -> AsyncIterator[bytes]:
        last = 0
        try:
            yield f"retry: {RETRY_AFTER_MS}\n\n".encode()
            if after is not None:
                last = await self._in_the_stream(after)
                async for event in self._missed(last):
                    last = event.sequence
                    if listener.wanted(event):
                        yield shown(event)
            async for found in _heard(listener.queue, until):
                if found is None:
                    yield b": here\n\n"
                elif found.sequence > last:
                    yield shown(found)
        finally:
            self._listeners.pop(listener, None)

    async def _in_the_stream(self, place: int) -> int:
        """The same place; the beginning, where the stream was rebuilt and has not come so far yet."""
        info = await self.client.connection.jetstream().stream_info(CHANGE_FEED_STREAM)
        return place if place <= info.state.last_seq else 0

    async def _missed(self, after: int) -> AsyncIterator[FeedEvent]:
        """What is in the stream after a place, up to what is there now; the rest is in the queue already."""
        async with self.client.events(start=after + 1, check_versions=False) as feed:
            while feed.pending:
                yield await anext(feed)

    def _check_listening(self) -> None:
        if not self.listening:
            raise ProblemError(
                "unavailable", "The feed cannot be read just now.", headers={"Retry-After": "2"}
            )

    def _forward(self, event: FeedEvent) -> None:
        slow = [
            listener for listener in self._listeners if listener.wanted(event) and not listener.hear(event)
        ]
        for listener in slow:
            self._listeners.pop(listener)

    def _cut_off_everybody(self) -> None:
        for listener in self._listeners:
            listener.queue.put_nowait(None)
        self._listeners.clear()


async def _heard(queue: asyncio.Queue[FeedEvent | None], until: float) -> AsyncIterator[FeedEvent | None]:
    """What comes into a queue; None now and then when nothing does. Ends when it is cut off, or over."""
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


def formatted(event: FeedEvent) -> bytes:
    """An event as browsers take it: its place in the stream as id, its type as event, its body as data."""
    name = f"{event.entity}.{event.event}V{event.name.schema}"
    return format_sse_event(data_str=event.data.decode(), event=name, id=str(event.sequence))


def announced(event: FeedEvent) -> bytes:
    """That something has changed, not what."""
    return format_sse_event(data_str="", event="change", id=str(event.sequence))


def concerns(customer: Customer) -> Wanted:
    """Whether an event is about a customer."""
    return lambda event: event.customer == customer.token
