"""Publishing outbox rows to JetStream, many as one atomic batch, which costs the server one disk sync."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError
from nats.protocol.command import hpub_cmd

from shared.ids import new_id
from shared.tuning import RELAY_BATCH_MESSAGES, RELAY_FLUSH_MESSAGES, RELAY_PUBLISH_TIMEOUT_SECONDS

BUCKET_PREFIX = "KV_"
"""The prefix of the names of streams that are key-value buckets."""
MESSAGE_ID_HEADER = "Nats-Msg-Id"
DUPLICATE_IN_BATCH = 10201
"""JetStream's error code for a batch with a message id that the stream has already."""


class Message(NamedTuple):
    """A message on its way from the outbox to a stream."""

    message_id: str
    stream: str
    subject: str
    headers: dict[str, str]
    payload: bytes


async def publish_all(connection: Client, messages: Sequence[Message]) -> None:
    """Publish messages in their order within each stream, and wait until the server has them on disk."""
    jetstream = connection.jetstream(timeout=RELAY_PUBLISH_TIMEOUT_SECONDS)
    by_stream: dict[str, list[Message]] = {}
    for message in messages:
        by_stream.setdefault(message.stream, []).append(message)
    for stream_messages in by_stream.values():
        for start in range(0, len(stream_messages), RELAY_BATCH_MESSAGES):
            await _publish_batch(connection, jetstream, stream_messages[start : start + RELAY_BATCH_MESSAGES])


async def _publish_batch(connection: Client, jetstream: JetStreamContext, batch: Sequence[Message]) -> None:
    if len(batch) == 1 or not await _publish_atomically(connection, batch):
        await _publish_singly(jetstream, batch)


async def _publish_atomically(connection: Client, batch: Sequence[Message]) -> bool:
    """Publish an atomic batch; return False where the server refused it as a duplicate in part."""
    batch_id = new_id("batch")
    for sequence, message in enumerate(batch, 1):
        headers = _with_message_id(message) | {
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(sequence),
        }
        if sequence < len(batch):
            if sequence % RELAY_FLUSH_MESSAGES:
                await _write(connection, message.subject, message.payload, headers)
            else:
                # It also has the buffer sent, as soon as this task yields to the flusher and to all others.
                await connection.publish(message.subject, message.payload, headers=headers)
                await asyncio.sleep(0)
            continue
        headers["Nats-Batch-Commit"] = "1"
        reply = await connection.request(
            message.subject, message.payload, headers=headers, timeout=RELAY_PUBLISH_TIMEOUT_SECONDS
        )
        error: dict[str, Any] | None = json.loads(reply.data).get("error")
        if error is None:
            return True
        if error.get("err_code") == DUPLICATE_IN_BATCH:
            return False
        raise APIError.from_error(error)
    return True


async def _write(connection: Client, subject: str, payload: bytes, headers: dict[str, str]) -> None:
    """Write a message into the client's buffer.

    The only use of a private method of nats-py, tried with 2.16: `Client.publish` checks each header
    character by character, which takes 8 of its 11 µs and was a quarter of what a busy worker did. Messages
    that it would reject or change are left to it.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    is_plain = max(lines.count("\r"), lines.count("\n")) == len(headers) and len(subject.split()) == 1
    if is_plain and len(payload) <= connection.max_payload and not connection.is_closed:
        block = f"NATS/1.0\r\n{lines}\r\n".encode()
        await connection._send_command(hpub_cmd(subject, "", block, payload))
    else:
        await connection.publish(subject, payload, headers=headers)


async def _publish_singly(jetstream: JetStreamContext, batch: Sequence[Message]) -> None:
    for message in batch:
        headers = _with_message_id(message)
        await jetstream.publish(message.subject, message.payload, stream=message.stream, headers=headers)


def _with_message_id(message: Message) -> dict[str, str]:
    """Add the id by which a stream recognises a duplicate; messages to buckets have none.

    After a restart a server remembers only the newest id of each key. It would store an older value that is
    published again and drop the newest as a duplicate. Without ids it stores all of them again, in their
    order, and the bucket ends with the newest.
    """
    if message.stream.startswith(BUCKET_PREFIX):
        return message.headers
    return message.headers | {MESSAGE_ID_HEADER: message.message_id}
