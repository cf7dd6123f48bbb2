"""Connections to NATS with every option that matters set on purpose."""

from urllib.parse import urlsplit

import nats
import structlog
from faststream import AckPolicy
from faststream.nats import NatsBroker
from nats.aio.client import Client

from shared.limits import GRACEFUL_STOP_SECONDS

log = structlog.get_logger()

RECONNECT_FOR_EVER = -1
RECONNECT_WAIT_SECONDS = 1
CONNECT_TIMEOUT_SECONDS = 5
PING_INTERVAL_SECONDS = 10
"""A server that is gone without a word is noticed after two missed pings."""
PINGS_OUTSTANDING_MAX = 2
PENDING_MAX_BYTES = 16 * 1024 * 1024
"""Written but not yet sent; a relay's largest batch fits several times."""


def make_broker(nats_url: str, name: str) -> NatsBroker:
    """FastStream's broker: endless reconnects, manual acknowledgement, a private inbox."""
    return NatsBroker(
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
        logger=None,
    )


async def connect(nats_url: str, name: str) -> Client:
    """A plain nats-py connection with the same options, for the relay and for provisioning."""
    return await nats.connect(
        nats_url.split(","),
        name=name,
        inbox_prefix=inbox_prefix(nats_url).encode(),
        max_reconnect_attempts=RECONNECT_FOR_EVER,
        reconnect_time_wait=RECONNECT_WAIT_SECONDS,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ping_interval=PING_INTERVAL_SECONDS,
        max_outstanding_pings=PINGS_OUTSTANDING_MAX,
        pending_size=PENDING_MAX_BYTES,
        error_cb=_log_error,
    )


def inbox_prefix(nats_url: str) -> str:
    """The user's own inbox: replies to it can be read by nobody else."""
    user = urlsplit(nats_url.split(",")[0]).username
    return f"_INBOX_{user}" if user else "_INBOX"


async def _log_error(error: Exception) -> None:
    log.warning("nats error", error=str(error) or type(error).__name__)
