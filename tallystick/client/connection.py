"""NATS connection that reconnects without limit and notifies readers of interruptions."""

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
"""Timeout of the first connection; afterwards the client reconnects without limit."""
RECONNECT_WAIT_SECONDS = 0.5
"""Delay between two attempts on the same server; short enough to be back within a second."""
PING_INTERVAL_SECONDS = 10.0
"""A dead connection is detected after two unanswered pings, within the usual deadline of a command."""
JETSTREAM_TIMEOUT_SECONDS = 5.0
"""Timeout of JetStream requests. An acknowledgement waits for a disk sync, so nats-py's default of 0.5 s is
too short."""
FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0
"""Retries start quickly, since most outages are restarts, and never wait longer than this."""


def growing_delays() -> Iterator[float]:
    """Yield the delay in seconds before each retry: exponential backoff up to a limit, with jitter."""
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)


def user_of(url: str) -> str | None:
    """Return the user in a NATS URL, or in the first of a comma-separated list; None if there is none."""
    user = urlsplit(url.split(",")[0].strip()).username
    return unquote(user) if user else None


def without_password(url: str) -> str:
    """Return a NATS URL without its password, for output and logs."""
    urls = []
    for server in url.split(","):
        parts = urlsplit(server.strip())
        host = parts.netloc.rpartition("@")[2]
        urls.append(f"{parts.scheme}://{parts.username + '@' if parts.username else ''}{host}")
    return ",".join(urls)


class Connection:
    """NATS connection that reconnects without limit and counts its interruptions."""

    def __init__(
        self, url: str, *, name: str, tls: ssl.SSLContext | None, connect_timeout_seconds: float
    ) -> None:
        self.url = url
        self.name = name
        self.epoch = 0
        """Number of interruptions; messages in flight when it increases may be lost."""
        self.last_problem = ""
        self._tls = tls
        self._connect_timeout_seconds = connect_timeout_seconds
        self._nats: NatsClient = AnyMessageClient()
        self._listeners: set[Callable[[], None]] = set()
        self._auth_failed = asyncio.Event()

    @property
    def nats(self) -> NatsClient:
        """Underlying nats-py client."""
        return self._nats

    @property
    def connected(self) -> bool:
        """Whether the connection is currently established."""
        return bool(self._nats.is_connected)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed and will not reconnect."""
        return bool(self._nats.is_closed)

    def jetstream(self, timeout_seconds: float = JETSTREAM_TIMEOUT_SECONDS) -> JetStreamContext:
        """Return a JetStream context on this connection."""
        return self._nats.jetstream(timeout=timeout_seconds)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the connection is lost, re-established or closed."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)

    async def open(self) -> None:
        """Connect; raises Unreachable on a timeout or when the credentials are rejected.

        It may be called again after an error.
        """
        if self._nats.is_closed:
            self._nats = AnyMessageClient()
            self._auth_failed.clear()
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
        auth_failed = asyncio.ensure_future(self._auth_failed.wait())
        try:
            await asyncio.wait(
                {connecting, auth_failed},
                timeout=self._connect_timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done() and not self._auth_failed.is_set():
                connecting.result()
                return
        except (OSError, nats.errors.Error, ValueError) as error:
            self.last_problem = str(error) or type(error).__name__
        finally:
            auth_failed.cancel()
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await self.close()
        raise Unreachable(self._why_unreachable())

    async def close(self) -> None:
        """Flush pending messages and close the connection."""
        if self._nats.is_connected:
            try:
                await self._nats.flush(timeout=2)
            except (TimeoutError, nats.errors.Error, OSError):
                logger.debug("the connection closed before everything had left")
        await self._nats.close()

    def _why_unreachable(self) -> str:
        where = without_password(self.url)
        if self._auth_failed.is_set():
            return f"NATS at {where} refused the user or the password; check NATS_URL or endpoints.json"
        problem = f" ({self.last_problem})" if self.last_problem else ""
        return f"NATS at {where} does not answer{problem}; is it running, and is the URL right?"

    async def _on_error(self, error: Exception) -> None:
        self.last_problem = str(error) or type(error).__name__
        if "authorization violation" in self.last_problem.lower():
            self._auth_failed.set()
        if self._nats.is_connected:
            logger.warning("NATS: %s", self.last_problem)

    async def _on_interruption(self) -> None:
        self.epoch += 1
        for listener in tuple(self._listeners):
            listener()
