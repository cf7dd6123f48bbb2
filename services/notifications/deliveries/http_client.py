"""Posts webhooks: to public addresses only, without redirects, with a limit on time and on what is read."""

import asyncio
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from httpcore._backends.auto import AutoBackend

from services.notifications.domain.endpoint_url import is_public

ATTEMPT_SECONDS = 10.0
"""An endpoint has answered within this, or has failed."""
ANSWER_BYTES = 1_024
"""How much of an answer is kept; no more is read."""
HOSTS_MAX = 500
"""Hosts to which connections are kept open; more than webhooks are sent at the same time."""
HOST_CONNECTIONS_MAX = 64
HOST_IDLE_CONNECTIONS_MAX = 16
IDLE_SECONDS = 15.0
ERROR_MAX_CHARACTERS = 300


class PrivateAddress(httpcore.ConnectError):
    """A host's name leads to an address in a private network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered, or why there is no answer."""

    status: int | None
    body: str | None
    error: str | None
    duration_ms: int


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only.

    The address that was checked is the one that is connected to, so that a name that changes its address in
    between (DNS rebinding) gains nothing.
    """

    def __init__(self) -> None:
        self._backend = AutoBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve a host, check every address, and connect to the first one; raises PrivateAddress."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the host's name is not known: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses or not all(is_public(address) for address in addresses):
            raise PrivateAddress("the host is in a private network")
        return await self._backend.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no endpoint is a socket of this machine."""
        raise PrivateAddress("a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class WebhookClient:
    """Posts webhooks over connections that are kept open for a while, in a pool of its own for each host.

    A pool of httpcore looks at all of its connections for each request, so that many small ones are faster.
    """

    def __init__(self, *, allow_private: bool = False) -> None:
        self._tls = ssl.create_default_context()
        self._backend = None if allow_private else PublicBackend()
        self._pools: OrderedDict[str, httpx.AsyncHTTPTransport] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post a webhook; never raises for what an endpoint or the network does."""
        started = time.perf_counter()
        status, content, problem = None, None, None
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                request = httpx.Request("POST", url, content=body, headers=headers)
                response = await self._pool(request.url).handle_async_request(request)
                status = response.status_code
                content = await _beginning(response)
        except TimeoutError:
            problem = f"no answer within {ATTEMPT_SECONDS:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, httpcore.NetworkError, OSError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARACTERS]
        duration_ms = round((time.perf_counter() - started) * 1_000)
        if problem is not None:
            return Answer(None, content, problem, duration_ms)
        return Answer(status, content, None, duration_ms)

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        """Return the pool of a URL's host; the one that was unused for the longest time makes room."""
        origin = f"{url.scheme}://{url.netloc.decode()}"
        pool = self._pools.pop(origin, None)
        if pool is None:
            pool = httpx.AsyncHTTPTransport(trust_env=False, verify=self._tls)
            # httpx has no setting for the network backend of its pool.
            pool._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=HOST_CONNECTIONS_MAX,
                max_keepalive_connections=HOST_IDLE_CONNECTIONS_MAX,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=self._backend,
            )
        self._pools[origin] = pool
        if len(self._pools) > HOSTS_MAX:
            _, oldest = self._pools.popitem(last=False)
            self._closing.add(task := asyncio.create_task(oldest.aclose()))
            task.add_done_callback(self._closing.discard)
        return pool


async def _beginning(response: httpx.Response) -> str:
    """Read the beginning of an answer; a longer one closes its connection."""
    read = b""
    try:
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) > ANSWER_BYTES:
                break
    finally:
        await response.aclose()
    return read[:ANSWER_BYTES].decode(errors="replace").replace("\x00", "�")
