"""Fixtures for the toy service: its tables, its streams and a running worker; import them in a conftest."""

from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig

from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.settings import Settings
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.toy import service as toy
from tests.support.toy.worker import Start
from tests.support.workers import running


@pytest.fixture
def outside() -> toy.Outside:
    """The outside service of the toy."""
    return toy.Outside()


@pytest.fixture
async def counters(database_url: str, outside: toy.Outside) -> AsyncIterator[Bound]:
    """The toy service, bound to a database of its own."""
    toy.create(database_url)
    bound = Bound(toy.service, database_url, [outside], url=database_url)
    yield bound
    await bound.close()


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Client]:
    """NATS with all streams and the toy's consumers."""
    client = await nats.connect(nats_server.url, inbox_prefix=b"_INBOX_admin")
    await apply_layout(client, load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks"))
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name="THINGS", subjects=["things.>"]))
    for stream, name, subjects in [
        ("BILLING_COMMANDS", "toy-commands", ["billing.commands.toy.>"]),
        ("BILLING_TICKS", "toy-ticks", ["billing.ticks.toy.>"]),
        ("THINGS", "toy-things", ["things.>"]),
    ]:
        await jetstream.add_consumer(
            stream, ConsumerConfig(durable_name=name, filter_subjects=subjects, max_deliver=-1)
        )
    yield client
    await client.close()


@pytest.fixture
def start(counters: Bound, outside: toy.Outside, nats_server: NatsServer, connection: Client) -> Start:
    """Starts a worker for a service on the toy's tables."""
    settings = Settings(database_url=counters.owner_url, nats_url=nats_server.url)
    return lambda service: running(service, settings, provide=lambda _: [outside])
