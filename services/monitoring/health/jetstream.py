"""What JetStream says about streams and consumers, asked over a connection of its own."""

import asyncio
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.js.api import ConsumerInfo, StreamInfo
from nats.js.errors import APIError

from shared.errors import Unavailable
from shared.messaging.nats_connection import connect
from shared.settings import CommonSettings
from tallystick.subjects import DEAD_LETTERS_STREAM, SERVICE_FEED_STREAM

CONSUMED = (
    "BILLING_COMMANDS",
    "BILLING_SERVICE_FEED",
    "BILLING_TICKS",
    "BILLING_WEBHOOKS",
    "BILLING_STRIPE_EVENTS",
)
"""Streams that workers consume."""
OWN_FEED = "monitoring-feed"


@dataclass(frozen=True, slots=True)
class JetStreamState:
    """The state of all streams, of the workers' consumers, and the dead letters by service."""

    streams: list[StreamInfo]
    consumers: list[ConsumerInfo]
    dead_letters: dict[str, int]

    @property
    def own_feed(self) -> ConsumerInfo | None:
        """The consumer of this service's own feed."""
        return next((info for info in self.consumers if info.name == OWN_FEED), None)


class JetStreamMonitor:
    """Asks JetStream; connects at the first question."""

    def __init__(self, settings: CommonSettings) -> None:
        self._nats_url = settings.nats_url.get_secret_value()
        self._prefix = settings.subject_prefix
        self._connection: Client | None = None
        self._connecting = asyncio.Lock()

    async def state(self) -> JetStreamState:
        """Return the state of streams and consumers; raises Unavailable if JetStream does not answer."""
        try:
            jetstream = (await self._open()).jetstream()
            streams = await jetstream.streams_info()
            listed = await asyncio.gather(*(jetstream.consumers_info(stream) for stream in CONSUMED))
            letters = await jetstream.stream_info(DEAD_LETTERS_STREAM, subjects_filter=">")
        except (APIError, nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("JetStream does not answer") from error
        return JetStreamState(
            streams, [info for infos in listed for info in infos], self._by_service(letters.state.subjects)
        )

    async def feed_lag(self) -> int:
        """Return how many events this service has not applied yet."""
        try:
            info = await (await self._open()).jetstream().consumer_info(SERVICE_FEED_STREAM, OWN_FEED)
        except (APIError, nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("JetStream does not answer") from error
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _by_service(self, subjects: dict[str, int] | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for subject, count in (subjects or {}).items():
            service = subject.removeprefix(f"{self._prefix}.dead_letters.").partition(".")[0]
            found[service] = found.get(service, 0) + count
        return found

    async def _open(self) -> Client:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed:
                self._connection = await connect(self._nats_url, "monitoring-health")
            return self._connection
