"""A provisioned NATS, and a client of it."""

from collections.abc import AsyncIterator, Iterator

import nats
import pytest
from nats.aio.client import Client as NatsClient

import tallystick
from tests.support import servers
from tests.support.client import OwnNats


@pytest.fixture
async def provisioned(nats_server: servers.NatsServer) -> servers.NatsServer:
    """The session's NATS with empty streams and buckets."""
    await nats_server.provision()
    return nats_server


@pytest.fixture
async def client(provisioned: servers.NatsServer) -> AsyncIterator[tallystick.Client]:
    """A client with the rights of another team's service."""
    async with tallystick.connect(provisioned.users["client"], name="test") as client:
        yield client


@pytest.fixture
async def admin(provisioned: servers.NatsServer) -> AsyncIterator[NatsClient]:
    """A connection with all rights, in place of the services."""
    connection = await nats.connect(provisioned.url, inbox_prefix="_INBOX_admin")
    yield connection
    await connection.close()


@pytest.fixture
def own_nats() -> Iterator[OwnNats]:
    """A NATS of the test's own."""
    with servers.embedded_nats() as (server, child):
        own = OwnNats(server, child)
        yield own
        own.end()
