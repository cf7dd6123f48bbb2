"""Reads a JetStream stream through a pull consumer and says honestly when something may have been lost.

The library's own `fetch` hides the difference between "nothing new" and "nobody there", and its ordered
consumers give up quietly when recreating one fails; a feed and a mirror need to know. Used by both.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from tallystick.client.connection import Connection, growing_delays
from tallystick.client.errors import NotProvisioned, Unreachable

HEARTBEAT_SECONDS = 1.0
"""The server says this often that it is there and has nothing new: how fresh a quiet mirror can be."""
SILENCE_SECONDS = 3.5
"""After this long without a word, three heartbeats, the consumer is taken for dead."""
REQUEST_EXPIRES_SECONDS = 30.0
"""How long a request for messages waits on the server; then it is made again."""
INACTIVE_SECONDS = 60.0
"""A consumer without a name goes away when nobody has read from it for this long."""

_HEARTBEAT, _REQUEST_OVER = "100", "408"


class Interrupted(Exception):
    """Messages may be missing from here on; the reader must start again."""


class PullReader:
    """One reader of one stream: `start` makes its consumer, `batch` waits for messages, in order."""

    def __init__(self, connection: Connection, stream: str, *, batch_size: int) -> None:
        self._connection = connection
        self._stream = stream
        self._batch_size = batch_size
        self._consumer = ""
        self._ephemeral = True
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._arrived: list[Msg] = []
        self._wake = asyncio.Event()
        self._outstanding = 0
        self._heard_at = 0.0
        self._epoch = 0
        self._last_delivery = 0
        self._trouble = ""
        self._idle = False
        self.pending = 0
        """How many messages of the stream are still to come, as far as the server has said."""
        self.begins_after = 0
        """Where the consumer stood when it was started: the last sequence delivered or acknowledged."""
        connection.listen(self._wake.set)

    async def start(self, config: api.ConsumerConfig) -> None:
        """Make the consumer, or take the durable one that is there, and subscribe.

        Raises NotProvisioned when the stream is missing or the user may not read it.
        """
        self._epoch = self._connection.epoch
        self._ephemeral = config.durable_name is None
        try:
            info = await self._ensure(config)
        except NotFoundError as error:
            raise NotProvisioned(
                f"there is no stream {self._stream} to read ({error.description}); "
                "has this installation been provisioned?"
            ) from None
        except (TimeoutError, nats.errors.TimeoutError):
            hint = f"; NATS says: {self._connection.last_problem}" if self._connection.last_problem else ""
            raise NotProvisioned(
                f"JetStream is silent about {self._stream}: it is away, or this user may not read it{hint}"
            ) from None
        self._consumer = info.name
        self.pending = info.num_pending or 0
        position = info.delivered if self._ephemeral else info.ack_floor
        self.begins_after = position.stream_seq if position else 0
        self._outstanding, self._trouble = 0, ""
        if self._ephemeral or self._subscription is None:
            # A durable consumer keeps its inbox: what still arrives there is not sent again before `ack_wait`
            # is over.
            await self._unsubscribe()
            self._arrived, self._last_delivery = [], 0
            self._inbox = self._connection.nats.new_inbox()
            self._subscription = await self._connection.nats.subscribe(self._inbox, cb=self._on_message)
        self._heard_at = asyncio.get_running_loop().time()

    async def restart(self, make_config: Callable[[], Awaitable[api.ConsumerConfig]]) -> None:
        """`start`, again and again until it works; raises Unreachable when the connection is closed."""
        for delay in growing_delays():
            if self._connection.closed:
                raise Unreachable("the connection to NATS is closed")
            if self._connection.connected:
                with contextlib.suppress(NotProvisioned, APIError, nats.errors.Error, asyncio.TimeoutError):
                    await self.start(await make_config())
                    return
            await asyncio.sleep(delay)

    async def batch(self) -> list[Msg]:
        """The messages that have arrived, oldest first; empty when the server says that there is nothing new.

        Raises Interrupted when messages may have been lost and the reader must be started again.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._arrived:
                arrived, self._arrived = self._arrived, []
                return arrived
            self._check()
            if self._outstanding <= self._batch_size // 2:
                await self._ask_for_more()
            self._wake.clear()
            self._idle = False
            patience_seconds = self._heard_at + SILENCE_SECONDS - loop.time()
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes with a message.
                async with asyncio.timeout(max(patience_seconds, 0.001)):
                    await self._wake.wait()
            except TimeoutError:
                raise Interrupted("no word from the server") from None
            if self._idle and not self._arrived and not self._trouble:
                return []

    async def close(self) -> list[Msg]:
        """Stop reading; a consumer without a name is deleted, a durable one stays where it is.

        Returns what has arrived and nobody has taken.
        """
        self._connection.unlisten(self._wake.set)
        await self._unsubscribe()
        if self._consumer and self._ephemeral and self._connection.connected:
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            # Without waiting: where it is not allowed or does not arrive, the server forgets the consumer by
            # itself.
            await self._connection.nats.publish(subject, b"")
        arrived, self._arrived = self._arrived, []
        return arrived

    async def _ensure(self, config: api.ConsumerConfig) -> api.ConsumerInfo:
        jetstream = self._connection.jetstream()
        info: api.ConsumerInfo
        if config.durable_name is None:
            name = f"tallystick-{uuid.uuid4().hex}"
            info = await jetstream.add_consumer(self._stream, replace(config, name=name))
            return info
        try:
            info = await jetstream.consumer_info(self._stream, config.durable_name)
        except NotFoundError:
            info = await jetstream.add_consumer(self._stream, replace(config, name=config.durable_name))
        return info

    async def _ask_for_more(self) -> None:
        wanted = self._batch_size - self._outstanding
        request = {
            "batch": wanted,
            "expires": int(REQUEST_EXPIRES_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        self._outstanding += wanted
        # The server has a fresh request now, so its silence counts from here.
        self._heard_at = asyncio.get_running_loop().time()
        try:
            await self._connection.nats.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        except nats.errors.Error as error:
            raise Interrupted(f"the server cannot be asked: {error}") from error

    def _check(self) -> None:
        if self._connection.closed:
            raise Unreachable("the connection to NATS is closed")
        if self._epoch != self._connection.epoch:
            raise Interrupted("the connection was lost")
        if self._trouble:
            raise Interrupted(self._trouble)

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        status = message.headers.get("Status") if message.headers and not message.data else None
        if status is not None:
            self._on_status(status, message.headers or {})
        elif not self._trouble:
            self._on_delivery(message)
        self._wake.set()

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status == _REQUEST_OVER:
            unused = int(headers.get("Nats-Pending-Messages", self._outstanding))
            self._outstanding = max(self._outstanding - unused, 0)
        elif status == _HEARTBEAT:
            # Sent only when there is nothing to deliver, whatever the last message said was pending.
            self._idle, self.pending = True, 0
        else:
            self._trouble = f"the server says {status} {headers.get('Description', '')}".strip()

    def _on_delivery(self, message: Msg) -> None:
        metadata = message.metadata
        delivery = metadata.sequence.consumer
        if self._ephemeral and delivery != self._last_delivery + 1:
            self._trouble = "a message was lost on its way"
            return
        self._last_delivery = delivery
        self._outstanding = max(self._outstanding - 1, 0)
        self.pending = metadata.num_pending
        self._arrived.append(message)

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._connection.closed:
            with contextlib.suppress(nats.errors.Error):  # It may be gone with the connection.
                await subscription.unsubscribe()
