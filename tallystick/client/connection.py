"""One connection to NATS, every option that matters set on purpose, its interruptions told to readers."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.js.client import JetStreamContext

from tallystick.client.decoding import AnyMessageClient
from tallystick.client.errors import Unreachable
from tallystick.client.tls import tls_context

logger = logging.getLogger("tallystick")

CONNECT_TIMEOUT_SECONDS = 5.0
"""How long opening may take before it is an error; afterwards reconnecting never gives up."""
RECONNECT_WAIT_SECONDS = 0.5
"""Between two attempts on the same server: soon enough to be back within a second, seldom enough not to be a
load."""
PING_INTERVAL_SECONDS = 10.0
"""A silent connection is noticed after two unanswered pings, before a command's usual deadline is over."""
JETSTREAM_TIMEOUT_SECONDS = 5.0
"""For JetStream's own requests. An acknowledgement waits for a disk, so the library's 0.5 s would be too
short."""
FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0
"""Retries start quickly, since most outages are a restart, and never wait longer than this."""


def growing_delays() -> Iterator[float]:
    """Seconds before each retry: doubling up to a limit, with jitter so that callers do not march in step."""
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)


def user_of(url: str) -> str | None:
    """The user in a NATS URL, where there is one; the first URL of a comma-separated list counts."""
    user = urlsplit(url.split(",")[0].strip()).username
    return unquote(user) if user else None


def without_password(url: str) -> str:
    """A NATS URL that can be shown to people and written to logs."""
    shown = []
    for server in url.split(","):
        parts = urlsplit(server.strip())
        host = parts.netloc.rpartition("@")[2]
        shown.append(f"{parts.scheme}://{parts.username + '@' if parts.username else ''}{host}")
    return ",".join(shown)


class Connection:
    """A NATS connection that reconnects for ever, and counts how often it was interrupted."""

    def __init__(
        self, url: str, *, name: str, tls: ssl.SSLContext | None, connect_timeout_seconds: float
    ) -> None:
        self.url = url
        self.name = name
        self.epoch = 0
        """Grows with each interruption: what was on its way before may be lost."""
        self.last_problem = ""
        self._tls = tls
        self._connect_timeout_seconds = connect_timeout_seconds
        self._nats: NatsClient = AnyMessageClient()
        self._listeners: set[Callable[[], None]] = set()
        self._refused = asyncio.Event()

    @property
    def nats(self) -> NatsClient:
        """The connection of the library underneath."""
        return self._nats

    @property
    def connected(self) -> bool:
        """Whether the server can be heard right now."""
        return bool(self._nats.is_connected)

    @property
    def closed(self) -> bool:
        """Whether the connection is over for good."""
        return bool(self._nats.is_closed)

    def jetstream(self, timeout_seconds: float = JETSTREAM_TIMEOUT_SECONDS) -> JetStreamContext:
        """JetStream over this connection."""
        return self._nats.jetstream(timeout=timeout_seconds)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the connection is lost, is back, or is closed."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)

    async def open(self) -> None:
        """Connect; raises Unreachable when nobody answers in time or the user is refused.

        May be tried again then.
        """
        if self._nats.is_closed:
            self._nats = AnyMessageClient()
            self._refused.clear()
        user = user_of(self.url)
        connecting = asyncio.ensure_future(
            self._nats.connect(
                servers=[server.strip() for server in self.url.split(",")],
                name=self.name,
                inbox_prefix=f"_INBOX_{user}" if user else "_INBOX",
                tls=self._tls or tls_context(self.url),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]
                connect_timeout=self._connect_timeout_seconds,  # type: ignore[arg-type]
                ping_interval=PING_INTERVAL_SECONDS,  # type: ignore[arg-type]
                max_outstanding_pings=2,
                error_cb=self._on_error,
                disconnected_cb=self._on_interruption,
                reconnected_cb=self._on_interruption,
                closed_cb=self._on_interruption,
            )
        )
        refused = asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait(
                {connecting, refused},
                timeout=self._connect_timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done() and not self._refused.is_set():
                connecting.result()
                return
        except (OSError, nats.errors.Error, ValueError) as error:
            self.last_problem = str(error) or type(error).__name__
        finally:
            refused.cancel()
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await self.close()
        raise Unreachable(self._why_unreachable())

    async def close(self) -> None:
        """Close, after what was published has left."""
        if self._nats.is_connected:
            try:
                await self._nats.flush(timeout=2)
            except (TimeoutError, nats.errors.Error, OSError):
                logger.debug("the connection closed before everything had left")
        await self._nats.close()

    def _why_unreachable(self) -> str:
        where = without_password(self.url)
        if self._refused.is_set():
            return f"NATS at {where} refused the user or the password; check NATS_URL or endpoints.json"
        problem = f" ({self.last_problem})" if self.last_problem else ""
        return f"NATS at {where} does not answer{problem}; is it running, and is the URL right?"

    async def _on_error(self, error: Exception) -> None:
        self.last_problem = str(error) or type(error).__name__
        if "authorization violation" in self.last_problem.lower():
            self._refused.set()
        if self._nats.is_connected:
            logger.warning("NATS: %s", self.last_problem)

    async def _on_interruption(self) -> None:
        self.epoch += 1
        for listener in tuple(self._listeners):
            listener()
