"""Reader of a JetStream stream over a pull consumer that detects lost messages.

nats-py's `fetch` does not distinguish "nothing new" from "no server", and its ordered consumers stop silently
when recreating one fails. The change feed and the entitlements mirror need both, so they use this reader.
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
"""Interval of the server's heartbeats when there is nothing new; bounds the age of an idle mirror."""
SILENCE_SECONDS = 3.5
"""Time without any message after which the consumer is considered lost: three missed heartbeats."""
REQUEST_EXPIRES_SECONDS = 30.0
"""Time after which a pull request expires on the server and is renewed."""
INACTIVE_SECONDS = 60.0
"""Time after which the server removes an ephemeral consumer that is not read."""

_HEARTBEAT, _REQUEST_OVER = "100", "408"


class Interrupted(Exception):
    """Messages may have been lost; the reader must be restarted."""


class PullReader:
    """Reader of one stream: `start` creates its consumer, `batch` waits for messages in order."""

    def __init__(self, connection: Connection, stream: str, *, batch_size: int) -> None:
        self._connection = connection
        self._stream = stream
        self._batch_size = batch_size
        self._consumer = ""
        self._ephemeral = True
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._received: list[Msg] = []
        self._wake = asyncio.Event()
        self._outstanding = 0
        self._heard_at = 0.0
        self._epoch = 0
        self._last_delivery = 0
        self._problem = ""
        self._idle = False
        self.pending = 0
        """Number of messages that are still to be delivered, as last reported by the server."""
        self.begins_after = 0
        """Position of the consumer at its start: the last sequence delivered (ephemeral) or acknowledged
        (durable)."""
        connection.listen(self._wake.set)

    async def start(self, config: api.ConsumerConfig) -> None:
        """Create the consumer, or reuse the existing durable one, and subscribe.

        Raises NotProvisioned when the stream does not exist or the user may not read it.
        """
        self._epoch = self._connection.epoch
        self._ephemeral = config.durable_name is None
        try:
            info = await self._ensure_consumer(config)
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
        self._outstanding, self._problem = 0, ""
        if self._ephemeral or self._subscription is None:
            # A durable consumer keeps its inbox: messages that arrive there are redelivered only after
            # `ack_wait`.
            await self._unsubscribe()
            self._received, self._last_delivery = [], 0
            self._inbox = self._connection.nats.new_inbox()
            self._subscription = await self._connection.nats.subscribe(self._inbox, cb=self._on_message)
        self._heard_at = asyncio.get_running_loop().time()

    async def restart(self, make_config: Callable[[], Awaitable[api.ConsumerConfig]]) -> None:
        """Retry `start` until it succeeds; raises Unreachable when the connection is closed."""
        for delay in growing_delays():
            if self._connection.closed:
                raise Unreachable("the connection to NATS is closed")
            if self._connection.connected:
                with contextlib.suppress(NotProvisioned, APIError, nats.errors.Error, asyncio.TimeoutError):
                    await self.start(await make_config())
                    return
            await asyncio.sleep(delay)

    async def batch(self) -> list[Msg]:
        """Return the received messages, oldest first; empty when the server reports nothing new.

        Raises Interrupted when messages may have been lost and the reader must be restarted.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._received:
                received, self._received = self._received, []
                return received
            self._check()
            if self._outstanding <= self._batch_size // 2:
                await self._request_messages()
            self._wake.clear()
            self._idle = False
            remaining_seconds = self._heard_at + SILENCE_SECONDS - loop.time()
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that arrives together with a message.
                async with asyncio.timeout(max(remaining_seconds, 0.001)):
                    await self._wake.wait()
            except TimeoutError:
                raise Interrupted("no word from the server") from None
            if self._idle and not self._received and not self._problem:
                return []

    async def close(self) -> list[Msg]:
        """Stop reading; delete an ephemeral consumer and keep a durable one.

        Returns the messages that were received but not taken.
        """
        self._connection.unlisten(self._wake.set)
        await self._unsubscribe()
        if self._consumer and self._ephemeral and self._connection.connected:
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            # Sent without waiting for a reply: if it fails, the server removes the inactive consumer.
            await self._connection.nats.publish(subject, b"")
        received, self._received = self._received, []
        return received

    async def _ensure_consumer(self, config: api.ConsumerConfig) -> api.ConsumerInfo:
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

    async def _request_messages(self) -> None:
        batch = self._batch_size - self._outstanding
        request = {
            "batch": batch,
            "expires": int(REQUEST_EXPIRES_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        self._outstanding += batch
        # The new request restarts the silence timeout.
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
        if self._problem:
            raise Interrupted(self._problem)

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        status = message.headers.get("Status") if message.headers and not message.data else None
        if status is not None:
            self._on_status(status, message.headers or {})
        elif not self._problem:
            self._on_delivery(message)
        self._wake.set()

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status == _REQUEST_OVER:
            unused = int(headers.get("Nats-Pending-Messages", self._outstanding))
            self._outstanding = max(self._outstanding - unused, 0)
        elif status == _HEARTBEAT:
            # Heartbeats are sent only when nothing is pending, even if the last message reported otherwise.
            self._idle, self.pending = True, 0
        else:
            self._problem = f"the server says {status} {headers.get('Description', '')}".strip()

    def _on_delivery(self, message: Msg) -> None:
        metadata = message.metadata
        delivery = metadata.sequence.consumer
        if self._ephemeral and delivery != self._last_delivery + 1:
            self._problem = "a message was lost on its way"
            return
        self._last_delivery = delivery
        self._outstanding = max(self._outstanding - 1, 0)
        self.pending = metadata.num_pending
        self._received.append(message)

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._connection.closed:
            # The subscription may have ended with the connection.
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
