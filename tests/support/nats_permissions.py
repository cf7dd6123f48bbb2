"""Connections as the users of `deploy/nats.conf` that record what the server denies."""

import contextlib
from collections.abc import AsyncIterator

import nats
from nats.aio.client import Client

from tests.support.servers import NatsServer

_VIOLATION = "permissions violation"


class Actor:
    """A connection that records permission violations."""

    def __init__(self) -> None:
        self.client = Client()
        self._refusals: list[str] = []

    async def note(self, error: Exception) -> None:
        self._refusals.append(str(error).lower())

    async def may_publish(self, subject: str, body: bytes = b"{}") -> bool:
        await self.client.publish(subject, body)
        return await self._accepted()

    async def may_subscribe(self, subject: str, queue: str = "") -> bool:
        subscription = await self.client.subscribe(subject, queue)
        accepted = await self._accepted()
        with contextlib.suppress(Exception):  # a refused subscription cannot be taken back
            await subscription.unsubscribe()
        return accepted

    async def _accepted(self) -> bool:
        # The client's ping may overtake what it has buffered, the second one no longer. The server answers in
        # order: a refusal has come before the answer to that.
        await self.client.flush()
        await self.client.flush()
        refused = any(_VIOLATION in refusal for refusal in self._refusals)
        assert refused == bool(self._refusals), self._refusals
        self._refusals.clear()
        return not refused


@contextlib.asynccontextmanager
async def acting_as(server: NatsServer, user: str) -> AsyncIterator[Actor]:
    """Connect as the user, with the inbox that is its own."""
    actor = Actor()
    await actor.client.connect(
        server.users[user], inbox_prefix=f"_INBOX_{user}", error_cb=actor.note, allow_reconnect=False
    )
    try:
        yield actor
    finally:
        await actor.client.close()


async def plain_connection(server: NatsServer, user: str) -> Client:
    """Connect as any other program would; only `client` has no inbox prefix of its own."""
    inbox = "_INBOX" if user == "client" else f"_INBOX_{user}"
    return await nats.connect(server.users[user], inbox_prefix=inbox)
