"""Connections to NATS, with the options for reconnects, pings, TLS and inboxes."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import structlog
from faststream import AckPolicy
from faststream.nats import NatsBroker
from nats.aio.client import Client

from shared.tuning import GRACEFUL_STOP_SECONDS
from tallystick.client.decoding import AnyMessageClient
from tallystick.client.tls import tls_context

log = structlog.get_logger()

RECONNECT_FOR_EVER = -1
RECONNECT_WAIT_SECONDS = 1
CONNECT_TIMEOUT_SECONDS = 5
PING_INTERVAL_SECONDS = 10
"""A server that has vanished is noticed after two missed pings."""
PINGS_OUTSTANDING_MAX = 2
PENDING_MAX_BYTES = 16 * 1024 * 1024
"""Limit of the buffer of unsent bytes; the relay's largest batch fits several times."""


OnClosed = Callable[[], Awaitable[None]]
"""Called when a connection is closed for good: by the worker, or by a server that rejected a message."""


class Broker(NatsBroker):
    """FastStream's broker on a client whose read loop survives every malformed message."""

    async def _connect(self) -> Client:
        connection = AnyMessageClient()
        servers: list[str] = self._connection_kwargs["servers"]
        await connection.connect(**self._connection_kwargs | {"tls": tls_context(",".join(servers))})
        self.config.connect(connection)
        return connection


def make_broker(nats_url: str, name: str, on_closed: OnClosed | None = None) -> NatsBroker:
    """Create FastStream's broker: endless reconnects, manual acknowledgement, a private inbox."""
    return Broker(
        nats_url.split(","),
        name=name,
        inbox_prefix=inbox_prefix(nats_url),
        max_reconnect_attempts=RECONNECT_FOR_EVER,
        reconnect_time_wait=RECONNECT_WAIT_SECONDS,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ping_interval=PING_INTERVAL_SECONDS,
        max_outstanding_pings=PINGS_OUTSTANDING_MAX,
        pending_size=PENDING_MAX_BYTES,
        graceful_timeout=GRACEFUL_STOP_SECONDS,
        ack_policy=AckPolicy.MANUAL,
        apply_types=False,
        error_cb=_log_error,
        closed_cb=on_closed,
        logger=None,
    )


async def connect(nats_url: str, name: str, on_closed: OnClosed | None = None) -> Client:
    """Open a nats-py connection with the same options, for the relay, requests and provisioning."""
    connection = AnyMessageClient()
    await connection.connect(
        nats_url.split(","),
        name=name,
        inbox_prefix=inbox_prefix(nats_url).encode(),
        max_reconnect_attempts=RECONNECT_FOR_EVER,
        reconnect_time_wait=RECONNECT_WAIT_SECONDS,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ping_interval=PING_INTERVAL_SECONDS,
        max_outstanding_pings=PINGS_OUTSTANDING_MAX,
        pending_size=PENDING_MAX_BYTES,
        tls=tls_context(nats_url),
        error_cb=_log_error,
        closed_cb=on_closed,
    )
    return connection


def inbox_prefix(nats_url: str) -> str:
    """Return the prefix of the user's own inbox, to which no other user may subscribe."""
    user = urlsplit(nats_url.split(",")[0]).username
    return f"_INBOX_{user}" if user else "_INBOX"


def as_user(nats_url: str, user: str, other: str) -> str:
    """Replace the user `user` of a URL by `other`, with the same password; other users' URLs are unchanged.

    A service has one password and three users: `seats` consumes and sends requests, `seats_relay` publishes
    the outbox, `seats_answers` sends answers.
    """
    servers = []
    for server in nats_url.split(","):
        parts = urlsplit(server)
        if parts.username == user:
            parts = parts._replace(netloc=parts.netloc.replace(f"{user}:", f"{other}:", 1))
        servers.append(urlunsplit(parts))
    return ",".join(servers)


async def _log_error(error: Exception) -> None:
    log.warning("nats error", error=str(error) or type(error).__name__)
