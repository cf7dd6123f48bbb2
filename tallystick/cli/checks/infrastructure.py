"""Checks of the NATS server and of Postgres."""

import asyncio
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tallystick.cli.checks.findings import Finding, Level
from tallystick.cli.installation import Place
from tallystick.client import Client

HTTP_TIMEOUT_SECONDS = 3.0
CONNECT_TIMEOUT_SECONDS = 3.0
SLOW_ROUND_TRIP_SECONDS = 0.05
"""A server in the same network answers in a millisecond; each command takes several round trips."""
POSTGRES_PORT = 5432
POSTGRES_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""SSLRequest packet; every Postgres answers it with S or N before authentication."""


async def nats_server(client: Client, place: Place) -> list[Finding]:
    """Check the round trip to NATS, and that JetStream syncs messages to disk before acknowledging."""
    start = time.perf_counter()
    await client.connection.nats.flush(timeout=5)
    seconds = time.perf_counter() - start
    level, advice = (Level.GOOD, "")
    if seconds > SLOW_ROUND_TRIP_SECONDS:
        level, advice = (Level.ODD, "It is far away or busy; commands take several such round trips.")
    version = client.connection.nats.connected_server_version
    detail = f"{version.major}.{version.minor}.{version.patch}, round trip {seconds * 1000:.1f} ms"
    return [Finding(level, "NATS", detail, advice), await _disk(place)]


async def _disk(place: Place) -> Finding:
    what = "JetStream writes to disk"
    url = place.endpoints.get("nats_monitor") or os.environ.get("NATS_MONITOR_URL")
    if not url:
        return Finding(Level.UNKNOWN, what, "unknown", "Set NATS_MONITOR_URL (http://host:8222) to see.")
    status, body = await asyncio.to_thread(get, f"{url}/varz")
    if status != 200:
        return Finding(Level.UNKNOWN, what, f"{url} does not answer: {body}", "Is NATS_MONITOR_URL right?")
    config = json.loads(body).get("jetstream", {}).get("config", {})
    if config.get("sync_always"):
        return Finding(Level.GOOD, what, "before it acknowledges (sync_interval: always)")
    return Finding(
        Level.BROKEN,
        what,
        "some time after it acknowledged",
        "A power failure loses messages: set `sync_interval: always`, as deploy/nats.conf does.",
    )


async def database(place: Place) -> list[Finding]:
    """Check that Postgres answers at the configured address."""
    url = place.endpoints.get("database") or os.environ.get("DATABASE_URL")
    if not url:
        return [Finding(Level.UNKNOWN, "Postgres", "unknown", "Set DATABASE_URL to have it checked.")]
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or POSTGRES_PORT}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or POSTGRES_PORT)
            try:
                writer.write(POSTGRES_SSL_REQUEST)
                answer = await reader.read(1)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        advice = "Commands answer `unavailable` until it is back. Start it, or correct DATABASE_URL."
        return [
            Finding(Level.BROKEN, "Postgres", f"{address} does not answer: {str(error) or 'timeout'}", advice)
        ]
    if answer not in (b"S", b"N"):
        return [Finding(Level.BROKEN, "Postgres", f"{address} is not Postgres", "Correct DATABASE_URL.")]
    return [Finding(Level.GOOD, "Postgres", f"answers at {address}")]


def get(url: str, data: bytes | None = None) -> tuple[int, str]:
    """Return the status and body of a GET, or of a POST with `data`.

    Returns status 0 and the reason when there is no response.
    """
    request = urllib.request.Request(url, data=data)  # noqa: S310 - the operator's own URLs
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_SECONDS) as response:  # noqa: S310
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", error))
