"""The network as webhooks see it: public addresses, and nothing else."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import httpcore

from services.notifications.domain.endpoint_url import is_public


class PrivateAddress(httpcore.ConnectError):
    """A host's name leads to an address in a private network."""


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only.

    The address that was checked is the one that is connected to, so that a name that changes its address in
    between (DNS rebinding) gains nothing.
    """

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

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
