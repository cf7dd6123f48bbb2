"""The service feed: a copy of the change feed in the same order, whatever happens to the change feed."""

from collections.abc import AsyncIterator
from importlib import import_module

import nats
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext

from shared.messaging.jetstream_batch import Message, publish_all
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.persistence.migrations import service_names
from tallystick.subjects import CHANGE_FEED_STREAM, SERVICE_FEED_STREAM
from tests.support.servers import NatsServer


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection of the user who may do everything, to a NATS with every stream."""
    connection = await nats.connect(nats_server.url)
    await provision(connection)
    yield connection
    await connection.close()


async def provision(connection: Client) -> None:
    """What provisioning does to the streams."""
    layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
    await apply_layout(connection, layout)


async def emit(connection: Client, entity: str, *numbers: int) -> None:
    """Publish events as a relay does."""
    subject = f"billing.change_feed.{entity}.user_7.changedV1"
    messages = [Message(f"evt_{entity}{n}", CHANGE_FEED_STREAM, subject, {}, b"%d" % n) for n in numbers]
    await publish_all(connection, messages)


async def followed(jetstream: JetStreamContext, count: int) -> list[bytes]:
    """Return the next messages that subscriptions has not consumed."""
    pull = await jetstream.pull_subscribe("", durable="subscriptions-feed", stream=SERVICE_FEED_STREAM)
    taken: list[bytes] = []
    while len(taken) < count:
        for message in await pull.fetch(count - len(taken), timeout=30):
            await message.ack_sync()
            taken.append(message.data)
    await pull.unsubscribe()
    return taken


async def nothing_more(jetstream: JetStreamContext) -> bool:
    """Return whether subscriptions has consumed all messages."""
    pull = await jetstream.pull_subscribe("", durable="subscriptions-feed", stream=SERVICE_FEED_STREAM)
    try:
        await pull.fetch(1, timeout=0.5)
    except NatsTimeout:
        return True
    finally:
        await pull.unsubscribe()
    return False


@pytest.mark.parametrize("name", service_names())
def test_it_has_every_entity_that_a_service_follows(name: str) -> None:
    layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
    (source,) = layout.streams[SERVICE_FEED_STREAM]["sources"]
    _, consumer = layout.consumers.get(f"{name}-feed", ("", {}))
    followed = {entity for entity, _ in import_module(f"services.{name}.app").service.event_handlers}
    for subjects in (source["only"], consumer.get("filter_subjects") or source["only"]):
        assert followed <= {subject.split(".")[2] for subject in subjects}


async def test_batches_keep_their_order_and_only_followed_events(connection: Client) -> None:
    jetstream = connection.jetstream()
    await emit(connection, "consumable", 1, 2, 3)
    await emit(connection, "seat", *range(1, 101))
    assert await followed(jetstream, 100) == [b"%d" % n for n in range(1, 101)]
    assert (await jetstream.stream_info(SERVICE_FEED_STREAM)).state.messages == 100


async def test_what_the_feed_knows_as_repeated_is_not_followed_twice(connection: Client) -> None:
    jetstream = connection.jetstream()
    await emit(connection, "seat", 1, 2)
    await emit(connection, "seat", 1, 2, 3)
    assert await followed(jetstream, 3) == [b"1", b"2", b"3"]
    assert await nothing_more(jetstream)


async def test_a_feed_that_was_lost_is_followed_from_its_new_beginning(connection: Client) -> None:
    jetstream = connection.jetstream()
    await emit(connection, "seat", *range(1, 6))
    assert len(await followed(jetstream, 5)) == 5
    await jetstream.delete_stream(CHANGE_FEED_STREAM)
    await provision(connection)
    # The replay has come further than the old feed had, before anybody looks.
    await emit(connection, "seat", *range(1, 9))
    assert await followed(jetstream, 8) == [b"%d" % n for n in range(1, 9)]


async def test_headers_arrive_as_they_were_in_a_batch_and_alone(connection: Client) -> None:
    subject = "billing.change_feed.seat.user_7.changedV1"
    told = {"ce-type": "billing.seat.changedV1", "ce-subject": "user: 7", "empty": "", "two": "a\r\nb"}
    for count in (1, 3):
        messages = [
            Message(f"evt_{count}_{number}", CHANGE_FEED_STREAM, subject, told, b"%d" % number)
            for number in range(count)
        ]
        await publish_all(connection, messages)
    jetstream = connection.jetstream()
    last = (await jetstream.stream_info(CHANGE_FEED_STREAM)).state.last_seq
    assert last == 4
    for sequence in range(1, last + 1):
        headers = (await jetstream.get_msg(CHANGE_FEED_STREAM, sequence)).headers or {}
        assert {name: headers[name] for name in told} == told | {"two": "a  b"}
