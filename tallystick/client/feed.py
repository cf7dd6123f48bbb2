"""The change feed as an iterator: parsed events, acknowledged once handled, what is missing noticed."""

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
"""Events on their way at a time: enough to hide the network, few enough to be handled before they are sent
again."""
ACK_WAIT_SECONDS = 60.0
"""How long a durable consumer waits for an event to be handled before it sends it again."""
GIVE_BACK = b'-NAK {"delay": 100000000}'
"""Given back after 100 ms (in ns): after a delay the server keeps their order, without one it does not."""
FLUSH_SECONDS = 2
"""How long leaving waits for the last acknowledgements to leave, too."""

Start = Literal["new", "all"] | datetime | int
"""Where to begin: from now on, with all that is kept, at a moment, or at a sequence number."""


class Feed:
    """Iterate over it: `async with client.events(…) as feed: async for event in feed: …`.

    An event counts as handled when the loop asks for the next one, or when the `async with` block is left
    without an error. With a durable name, an event that was not handled comes again, here or in another
    process.
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
        """How many events are still to come, as far as the server has said."""
        return self._reader.pending + len(self._buffer)

    async def open(self) -> "Feed":
        """Make or take the consumer, so that nothing from here on is missed; iterating does it too."""
        if self._state == "new":
            await self._reader.start(self._config())
            await self._refuse_foreign_durable()
            self._stream_created = (
                await self._connection.jetstream().stream_info(CHANGE_FEED_STREAM)
            ).created
            self._handled_sequence = self._reader.begins_after
            self._state = "open"
        return self

    async def aclose(self) -> None:
        """Stop; events that were fetched and not handled are given back at once."""
        if self._state == "closed":
            return
        self._state = "closed"
        self._on_close(self)
        current = [self._current[0]] if self._current else []
        await self._give_back([*current, *self._buffer, *await self._reader.close()])
        self._buffer.clear()
        if self._durable and self._connection.connected:
            # What was acknowledged stays so, even if the process ends now.
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
            wanted = self._judge(event)
            if event.gap is not None and event.entity_key is not None and self._on_gap == "raise":
                self._buffer.appendleft(message)
                await self.aclose()
                raise FeedGap(event.entity_key, event.gap.expected, event.gap.found)
            if wanted:
                self._current = (message, event)
                return event
            await self._acknowledge(message)
        raise StopAsyncIteration

    async def handled(self) -> None:
        """Say that the last event was handled, without waiting for the next one."""
        if self._current is None:
            return
        message, event = self._current
        await self._acknowledge(message)
        self._current = None
        if self._versions is not None and event.entity_key is not None:
            self._versions.handled(event.entity_key, event.version)

    def _judge(self, event: FeedEvent) -> bool:
        """Mark what is odd; whether the event is worth delivering."""
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
            # They would be sent again while they wait here; given back, they come again in order.
            await self._give_back(self._buffer)
            self._buffer.clear()
        while not self._buffer:
            try:
                self._buffer.extend(await self._reader.batch())
                self._fetched_at = monotonic()
            except Interrupted as problem:
                logger.info("reading the feed again: %s", problem)
                await self._reader.restart(self._config_again)
        return self._buffer.popleft()

    async def _config_again(self) -> api.ConsumerConfig:
        """From where this feed stopped.

        A stream that was rebuilt counts from 1 again: all of it is read, and versions show what is new.
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

    async def _refuse_foreign_durable(self) -> None:
        if not self._durable:
            return
        info = await self._connection.jetstream().consumer_info(CHANGE_FEED_STREAM, self._durable)
        reads = info.config.filter_subject or ", ".join(info.config.filter_subjects or [])
        if reads != self._filter_subject:
            await self._reader.close()
            raise ConsumerMismatch(
                f"the durable consumer {self._durable!r} reads {reads or '>'}, not {self._filter_subject}; "
                "choose another name, or delete it first"
            )

    async def _acknowledge(self, message: Msg) -> None:
        if self._durable:
            await self._settle(message, b"+ACK")
        self._handled_sequence = message.metadata.sequence.stream

    async def _give_back(self, messages: "deque[Msg] | list[Msg]") -> None:
        if self._durable and self._connection.connected:
            for message in messages:
                await self._settle(message, GIVE_BACK)

    async def _settle(self, message: Msg, word: bytes) -> None:
        try:
            await self._connection.nats.publish(message.reply, word)
        except nats.errors.Error as error:
            # Not an error of the caller's: the event comes again, and its version shows that it is known.
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
