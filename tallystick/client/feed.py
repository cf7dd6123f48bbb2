"""Change feed as an async iterator of parsed events, with acknowledgement and gap detection."""

import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Literal

import nats.errors
from nats.aio.msg import Msg
from nats.js import api

from tallystick.client.connection import Connection
from tallystick.client.errors import ConsumerMismatch, FeedGap
from tallystick.client.feed_events import FeedEvent, read_event
from tallystick.client.pull_consumer import INACTIVE_SECONDS, Interrupted, PullReader
from tallystick.client.versions import Verdict, Versions
from tallystick.subjects import CHANGE_FEED_STREAM, Subjects

logger = logging.getLogger("tallystick")

PREFETCH_EVENTS = 200
"""Events in flight: enough to hide network latency, few enough to be handled before they are redelivered."""
ACK_WAIT_SECONDS = 60.0
"""Time a durable consumer waits for an acknowledgement before it redelivers an event."""
NAK_WITH_DELAY = b'-NAK {"delay": 100000000}'
"""Negative acknowledgement with a delay of 100 ms (in ns). With a delay the server keeps the order of
redelivered events."""
FLUSH_SECONDS = 2
"""Timeout of the flush that sends the last acknowledgements on close."""

Start = Literal["new", "all"] | datetime | int
"""Start position: new events only, all stored events, a time, or a stream sequence."""


class Feed:
    """Async iterator over the change feed.

        async with client.events(...) as feed:
            async for event in feed:
                ...

    An event counts as handled when the loop requests the next one, or when the `async with` block ends
    without an error. With a durable name, an event that was not handled is delivered again, to this or
    another process.
    """

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        *,
        filter_subject: str,
        durable: str | None,
        start: Start,
        versions: Versions | None,
        on_gap: Literal["flag", "raise"],
        repeated: Literal["skip", "yield"],
        on_close: Callable[["Feed"], None],
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._filter_subject = filter_subject
        self._durable = durable
        self._start = start
        self._versions = versions
        self._on_gap = on_gap
        self._repeated = repeated
        self._on_close = on_close
        self._reader = PullReader(connection, CHANGE_FEED_STREAM, batch_size=PREFETCH_EVENTS)
        self._buffer: deque[Msg] = deque()
        self._fetched_at = 0.0
        self._current: tuple[Msg, FeedEvent] | None = None
        self._handled_sequence: int | None = None
        self._stream_created: datetime | None = None
        self._state: Literal["new", "open", "closed"] = "new"

    @property
    def pending(self) -> int:
        """Number of events that are still to be delivered, as last reported by the server."""
        return self._reader.pending + len(self._buffer)

    async def open(self) -> "Feed":
        """Create or reuse the consumer, so that no later event is missed; iterating calls this too."""
        if self._state == "new":
            await self._reader.start(self._config())
            await self._check_durable_filter()
            self._stream_created = (
                await self._connection.jetstream().stream_info(CHANGE_FEED_STREAM)
            ).created
            self._handled_sequence = self._reader.begins_after
            self._state = "open"
        return self

    async def aclose(self) -> None:
        """Stop, and return events that were fetched but not handled to the server."""
        if self._state == "closed":
            return
        self._state = "closed"
        self._on_close(self)
        current = [self._current[0]] if self._current else []
        await self._give_back([*current, *self._buffer, *await self._reader.close()])
        self._buffer.clear()
        if self._durable and self._connection.connected:
            # Send the acknowledgements before the process may end.
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await self._connection.nats.flush(timeout=FLUSH_SECONDS)

    async def __aenter__(self) -> "Feed":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._state == "open":
            await self.handled()
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        return self

    async def __anext__(self) -> FeedEvent:
        await self.open()
        await self.handled()
        while self._state == "open":
            message = await self._next_message()
            try:
                event = read_event(message, self._subjects)
            except ValueError as error:
                logger.error("%s in the feed is not an event: %s", message.subject, error)
                await self._acknowledge(message)
                continue
            deliver = self._check_version(event)
            if event.gap is not None and event.entity_key is not None and self._on_gap == "raise":
                self._buffer.appendleft(message)
                await self.aclose()
                raise FeedGap(event.entity_key, event.gap.expected, event.gap.found)
            if deliver:
                self._current = (message, event)
                return event
            await self._acknowledge(message)
        raise StopAsyncIteration

    async def handled(self) -> None:
        """Acknowledge the last event without waiting for the next one."""
        if self._current is None:
            return
        message, event = self._current
        await self._acknowledge(message)
        self._current = None
        if self._versions is not None and event.entity_key is not None:
            self._versions.handled(event.entity_key, event.version)

    def _check_version(self, event: FeedEvent) -> bool:
        """Set `gap` and `late` on the event; return whether to deliver it."""
        if self._versions is None or event.entity_key is None:
            return True
        verdict, event.gap = self._versions.look(event.entity_key, event.version)
        if event.gap is not None:
            logger.warning(
                "%s: version %d follows %d", event.entity_key, event.gap.found, event.gap.expected - 1
            )
        event.late = verdict in (Verdict.LATE, Verdict.REPEATED)
        return verdict is not Verdict.REPEATED or self._repeated == "yield"

    async def _next_message(self) -> Msg:
        if self._durable and self._buffer and monotonic() - self._fetched_at > ACK_WAIT_SECONDS / 2:
            # The server would redeliver them out of order while they wait here; returned, they stay in order.
            await self._give_back(self._buffer)
            self._buffer.clear()
        while not self._buffer:
            try:
                self._buffer.extend(await self._reader.batch())
                self._fetched_at = monotonic()
            except Interrupted as problem:
                logger.info("reading the feed again: %s", problem)
                await self._reader.restart(self._restart_config)
        return self._buffer.popleft()

    async def _restart_config(self) -> api.ConsumerConfig:
        """Return the consumer configuration that continues where the feed stopped.

        A rebuilt stream counts from 1 again: all of it is read, and versions show which events are new.
        """
        info = await self._connection.jetstream().stream_info(CHANGE_FEED_STREAM)
        stopped_at = self._handled_sequence or 0
        if info.created != self._stream_created or info.state.last_seq < stopped_at:
            logger.warning("the feed was rebuilt; reading it from its beginning")
            self._stream_created, self._handled_sequence = info.created, 0
        return self._config()

    def _config(self) -> api.ConsumerConfig:
        config = api.ConsumerConfig(
            filter_subject=self._filter_subject,
            max_waiting=64,
            **_position(self._start, self._handled_sequence),
        )
        if self._durable:
            config.durable_name = self._durable
            config.ack_wait = ACK_WAIT_SECONDS
            config.max_ack_pending = PREFETCH_EVENTS * 4
            return config
        config.ack_policy = api.AckPolicy.NONE
        config.inactive_threshold = INACTIVE_SECONDS
        config.mem_storage = True
        config.num_replicas = 1
        return config

    async def _check_durable_filter(self) -> None:
        if not self._durable:
            return
        info = await self._connection.jetstream().consumer_info(CHANGE_FEED_STREAM, self._durable)
        actual_filter = info.config.filter_subject or ", ".join(info.config.filter_subjects or [])
        if actual_filter != self._filter_subject:
            await self._reader.close()
            raise ConsumerMismatch(
                f"the durable consumer {self._durable!r} reads {actual_filter or '>'}, "
                f"not {self._filter_subject}; "
                "choose another name, or delete it first"
            )

    async def _acknowledge(self, message: Msg) -> None:
        if self._durable:
            await self._publish_ack(message, b"+ACK")
        self._handled_sequence = message.metadata.sequence.stream

    async def _give_back(self, messages: "deque[Msg] | list[Msg]") -> None:
        if self._durable and self._connection.connected:
            for message in messages:
                await self._publish_ack(message, NAK_WITH_DELAY)

    async def _publish_ack(self, message: Msg, payload: bytes) -> None:
        try:
            await self._connection.nats.publish(message.reply, payload)
        except nats.errors.Error as error:
            # No error for the caller: the event is redelivered, and its version shows that it was handled.
            logger.info("an acknowledgement did not leave: %s", error)


def _position(start: Start, sequence: int | None) -> dict[str, Any]:
    if sequence is not None:
        return {"deliver_policy": api.DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": sequence + 1}
    if isinstance(start, datetime):
        return {
            "deliver_policy": api.DeliverPolicy.BY_START_TIME,
            "opt_start_time": start.astimezone(UTC),
        }
    if isinstance(start, int):
        return {"deliver_policy": api.DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": start}
    return {"deliver_policy": api.DeliverPolicy.NEW if start == "new" else api.DeliverPolicy.ALL}
