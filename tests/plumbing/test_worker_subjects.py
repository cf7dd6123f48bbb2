"""A worker survives subjects, replies and headers that no client library would send."""

import pytest
from nats.aio.client import Client

from tests.support.raw_nats import publish_raw
from tests.support.servers import NatsServer
from tests.support.toy import service as toy
from tests.support.toy.worker import Start, request
from tests.support.waiting import eventually

QUEUED = b"billing.commands.toy."
ASKED = b"billing.requests.toy.get_counter"


@pytest.mark.parametrize(
    "message",
    [
        (QUEUED + b"\xff", b"", b"", b"{}"),
        (QUEUED + b"increment", b"_INBOX.\xff", b"", b"{}"),
        (b"billing.requests.toy.\xff", b"_INBOX.a", b"", b"{}"),
        (ASKED, b"_INBOX.\xff", b"", b'{"counter": "a"}'),
        (ASKED, b"_INBOX.a", b"NATS/1.0 503\r\nStatus: 503\r\n\r\n", b""),
        (QUEUED + b"increment", b"", b"NATS/1.0\r\nStatus: 409\r\nDescription: gone\r\n\r\n", b""),
        (QUEUED + b"increment", b"", b"no headers at all", b"{}"),
    ],
    ids=lambda message: repr(message),
)
async def test_a_message_in_odd_bytes_stops_nobody(
    start: Start, connection: Client, nats_server: NatsServer, message: tuple[bytes, bytes, bytes, bytes]
) -> None:
    async with start(toy.service):
        await publish_raw(nats_server.url, message)
        answer = await request(connection, "increment", {"command_id": "after", "counter": "a"})
        assert answer["status"] == "succeeded"
        jetstream = connection.jetstream()
        await jetstream.publish("billing.commands.toy.increment", b'{"command_id": "queued", "counter": "a"}')

        async def both_have_counted() -> bool:
            counted = await request(connection, "get_counter", {"counter": "a"})
            return bool(counted["result"]["value"] == 2)

        async def all_are_handled() -> bool:
            info = await jetstream.consumer_info("BILLING_COMMANDS", "toy-commands")
            return (info.num_pending, info.num_ack_pending) == (0, 0)

        await eventually(both_have_counted)
        await eventually(all_are_handled)
        assert await both_have_counted()
