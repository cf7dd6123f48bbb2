"""Posts webhooks: to public addresses only, without redirects, with a limit on time and on what is read."""

import asyncio
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass

import httpcore
import httpx

from services.notifications.deliveries.connections import HostConnections, Network
from services.notifications.deliveries.public_network import PublicBackend

ATTEMPT_SECONDS = 10.0
"""An endpoint has answered within this, or has failed."""
HOSTS_MAX = 500
"""Hosts to which connections are kept open; more than webhooks are sent at the same time."""
ERROR_MAX_CHARACTERS = 300
FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpx.InvalidURL, OSError, ValueError)
"""What an endpoint or the way to it can be blamed for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered, or why there is no answer."""

    status: int | None
    body: str | None
    error: str | None
    duration_ms: int


class WebhookClient:
    """Posts webhooks over connections that are kept open for a while."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._network = Network(ssl.create_default_context(), None if allow_private else PublicBackend())
        self._hosts: OrderedDict[tuple[str, str], HostConnections] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post a webhook; never raises for what an endpoint or the network does."""
        started = time.perf_counter()
        status, content, problem = None, None, None
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                request = httpx.Request("POST", url, content=body, headers=headers)
                status, content = await self._host(request.url).send(request)
        except TimeoutError:
            problem = f"no answer within {ATTEMPT_SECONDS:g} s"
        except FAILURES as error:
            problem = f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARACTERS]
        return Answer(status, content, problem, round((time.perf_counter() - started) * 1_000))

    async def close(self) -> None:
        """Close all connections."""
        for host in self._hosts.values():
            await host.close()

    def _host(self, url: httpx.URL) -> HostConnections:
        """Return the connections to a URL's host; those unused for the longest time make room."""
        key = (url.scheme, url.netloc.decode())
        host = self._hosts.pop(key, None) or HostConnections(url, self._network)
        self._hosts[key] = host
        if len(self._hosts) > HOSTS_MAX:
            _, oldest = self._hosts.popitem(last=False)
            self._closing.add(task := asyncio.create_task(oldest.close()))
            task.add_done_callback(self._closing.discard)
        return host
