"""A NATS as it is deployed, with the users of `deploy/nats.conf`."""

import pytest

from tests.support.servers import NatsServer


@pytest.fixture
def any_server(nats_session: NatsServer) -> NatsServer:
    """A NATS with the product's users; a denial does not depend on the streams that exist."""
    if not nats_session.has_users:
        pytest.skip("NATS_URL leads to a server whose users' passwords are not set")
    return nats_session


@pytest.fixture
async def server(any_server: NatsServer, nats_server: NatsServer) -> NatsServer:
    """A NATS with every stream, bucket and consumer of `deploy/streams.yaml`."""
    await nats_server.provision()
    return nats_server
