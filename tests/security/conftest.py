"""Fixtures for attacks on the plumbing: the toy service as a worker, and NATS as it is deployed."""

import pytest

from tests.support.servers import NatsServer
from tests.support.toy.fixtures import connection, counters, outside, start

__all__ = ["connection", "counters", "deployed", "outside", "start"]


@pytest.fixture
async def deployed(nats_server: NatsServer) -> NatsServer:
    """A NATS with the product's accounts, streams, buckets and copies."""
    await nats_server.provision()
    return nats_server
