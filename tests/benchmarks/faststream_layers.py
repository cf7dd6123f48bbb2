"""What each layer of FastStream costs for a stored message: the figures of decision 5.

20,000 messages of a stream are pulled 32 at a time and acknowledged: by a bare nats-py loop, by FastStream as
the workers use it, and with each of the parts that they do without.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import uvloop
from faststream import AckPolicy, Depends
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from faststream.nats.prometheus import NatsPrometheusMiddleware
from nats.aio.client import Client
from nats.aio.msg import Msg
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from shared.messaging.nats_connection import connect
from tests.support.stack import stack

MESSAGES = 20_000
AT_ONCE = 500
PULLED = 32
STREAM = "FASTSTREAM_LAYERS"
SUBJECT = "faststream_layers.message"
BODY = b'{"command_id":"order-1","quantity":1}'


class Body(BaseModel):
    """The typed body."""

    command_id: str
    quantity: int


def run() -> dict[str, Any]:
    """Microseconds for each message."""
    with stack() as running:
        return uvloop.run(_measure(running.nats.users["admin"]))


async def _measure(nats_url: str) -> dict[str, Any]:
    connection = await connect(nats_url, "benchmark")
    jetstream = connection.jetstream()
    await jetstream.add_stream(name=STREAM, subjects=[SUBJECT])
    for _ in range(0, MESSAGES, AT_ONCE):
        await asyncio.gather(*(jetstream.publish(SUBJECT, BODY) for _ in range(AT_ONCE)))
    layers: dict[str, Callable[[], Awaitable[None]]] = {
        "nats_py": lambda: _bare(connection),
        "faststream_as_used": lambda: _consume(nats_url, _raw),
        "typed_body": lambda: _consume(nats_url, _typed),
        "typed_body_and_depends": lambda: _consume(nats_url, _depending),
        "prometheus_middleware": lambda: _consume(
            nats_url, _raw, [NatsPrometheusMiddleware(registry=CollectorRegistry())]
        ),
        "opentelemetry_middleware": lambda: _consume(
            nats_url, _raw, [NatsTelemetryMiddleware(tracer_provider=TracerProvider())]
        ),
    }
    found = {}
    for name, consume in layers.items():
        for consumer in await jetstream.consumers_info(STREAM):
            await jetstream.delete_consumer(STREAM, consumer.name)
        started = time.perf_counter()
        await consume()
        found[f"{name}_us"] = round((time.perf_counter() - started) / MESSAGES * 1e6, 1)
    await connection.close()
    return {"name": "faststream_layers", "messages": MESSAGES, **found}


async def _bare(connection: Client) -> None:
    subscription = await connection.jetstream().pull_subscribe(SUBJECT, durable="bare", stream=STREAM)
    handled = 0
    while handled < MESSAGES:
        messages = await subscription.fetch(PULLED, timeout=5)
        await asyncio.gather(*map(_acknowledge, messages))
        handled += len(messages)


async def _acknowledge(message: Msg) -> None:
    await message.ack()


Register = Callable[[Callable[[], None]], Callable[..., Awaitable[None]]]


def _raw(handled: Callable[[], None]) -> Callable[..., Awaitable[None]]:
    async def consume(message: NatsMessage) -> None:
        await message.ack()
        handled()

    return consume


def _typed(handled: Callable[[], None]) -> Callable[..., Awaitable[None]]:
    async def consume(body: Body, message: NatsMessage) -> None:
        await message.ack()
        handled()

    return consume


def _depending(handled: Callable[[], None]) -> Callable[..., Awaitable[None]]:
    async def consume(
        body: Body,
        message: NatsMessage,
        first: Annotated[int, Depends(lambda: 1)],
        second: Annotated[int, Depends(lambda: 2)],
    ) -> None:
        await message.ack()
        handled()

    return consume


async def _consume(nats_url: str, register: Register, middlewares: Sequence[Any] = ()) -> None:
    broker = NatsBroker(nats_url, middlewares=middlewares, logger=None, inbox_prefix=b"_INBOX_admin")
    left = MESSAGES
    done = asyncio.Event()

    def handled() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    consume = register(handled)
    broker.subscriber(
        SUBJECT,
        durable="layers",
        stream=JStream(STREAM, declare=False),
        pull_sub=PullSub(batch_size=PULLED, timeout=5),
        inbox_prefix=b"_INBOX_admin.",
        decoder=_as_it_is if register is _raw else None,
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
    )(consume)
    await broker.start()
    await done.wait()
    await broker.stop()


async def _as_it_is(message: NatsMessage) -> NatsMessage:
    return message
