"""The floors of answering over NATS, as a worker of its own: a bare nats-py echo, and FastStream's."""

import asyncio
import sys

import uvloop
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.msg import Msg

from shared.messaging.nats_connection import connect, make_broker
from tallystick.subjects import Subjects

BARE = Subjects().request("subscriptions", "echo_bare")
FRAMEWORK = Subjects().request("subscriptions", "echo_framework")


async def main(nats_url: str) -> None:
    """Echo until the process is stopped."""
    bare = await connect(nats_url, "echo")

    async def reply(message: Msg) -> None:
        await message.respond(message.data)

    await bare.subscribe(BARE, queue="echo", cb=reply)
    framework: NatsBroker = make_broker(nats_url, "echo")

    @framework.subscriber(FRAMEWORK, queue="echo", decoder=_body)
    async def echo(body: bytes) -> bytes:
        return body

    await framework.start()
    await bare.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _body(message: NatsMessage) -> bytes:
    return message.body


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
