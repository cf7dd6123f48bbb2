"""The connections to one host, which are kept open for a while and used again."""

import asyncio
import ssl
from dataclasses import dataclass

import httpcore
import httpx

ANSWER_BYTES = 1_024
"""How much of an answer is kept; no more is read."""
CONNECTIONS_MAX = 64
IDLE_CONNECTIONS_MAX = 32
IDLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Network:
    """How connections are made; without a `backend`, to any address."""

    tls: ssl.SSLContext
    backend: httpcore.AsyncNetworkBackend | None


class HostConnections:
    """The connections to one host; of the idle ones, the one used last is taken first.

    httpcore has a pool, too, but asks every connection of it whether it is still open for each request.
    """

    def __init__(self, url: httpx.URL, network: Network) -> None:
        self._origin = _core_url(url).origin
        self._network = network
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def send(self, request: httpx.Request) -> tuple[int, str]:
        """Send a request; return the answer's status and beginning. Raises the errors of httpcore."""
        async with self._places:
            connection = await self._take()
            try:
                response = await connection.handle_async_request(_core_request(request))
                try:
                    return response.status, await _beginning(response)
                finally:
                    await response.aclose()
            finally:
                await self._give_back(connection)

    async def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            await self._idle.pop().aclose()

    async def _take(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._origin,
            ssl_context=self._network.tls,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._network.backend,
        )

    async def _give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_closed():
            return
        if connection.is_idle() and len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            await connection.aclose()


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _core_request(request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        request.method, _core_url(request.url), headers=request.headers.raw, content=request.content
    )


async def _beginning(response: httpcore.Response) -> str:
    """Read the beginning of an answer; a longer one closes its connection."""
    read = b""
    async for chunk in response.aiter_stream():
        read += chunk
        if len(read) > ANSWER_BYTES:
            break
    return read[:ANSWER_BYTES].decode(errors="replace").replace("\x00", "�")
