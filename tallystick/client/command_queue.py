"""Publishing of commands to JetStream: one at a time, or many as atomic batches with one disk sync each."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nats.js import api

from tallystick.client.connection import Connection
from tallystick.client.errors import QueueRefused
from tallystick.client.request_reply import TryAgain, body_of, check_size, until_deadline
from tallystick.messages.base import Command
from tallystick.subjects import COMMANDS_STREAM, REPLY_TO_HEADER, Subjects

BATCH_MAX_MESSAGES = 1_000
"""Server limit of one atomic batch."""
BATCH_MAX_BYTES = 4 * 1024 * 1024
"""The server keeps an unfinished batch in memory, so large commands are sent in shorter batches."""
SINGLES_IN_FLIGHT = 64
"""Concurrent single publishes: enough to hide the disk latency without flooding the server."""
DUPLICATE_IN_BATCH = 10201
"""JetStream error for a batch that contains a known message id; the whole batch is rejected."""
STREAM_FULL_CODES = frozenset({10047, 10077})
"""JetStream errors for a full stream or storage. They are retried, since the workers empty the stream."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Acknowledgement that JetStream has stored a command."""

    command_id: str
    sequence: int
    """Sequence in `BILLING_COMMANDS`; for a duplicate, that of the first. 0 if the server does not return
    it."""
    duplicate: bool
    """The same command was queued shortly before, and is not queued again."""


@dataclass(frozen=True, slots=True)
class EncodedCommand:
    """Encoded command, ready to be published."""

    command_id: str
    subject: str
    body: bytes
    headers: dict[str, str]


def pack(
    command: Command[Any], subjects: Subjects, reply_to: str | None, headers: Mapping[str, str] | None
) -> EncodedCommand:
    """Encode a command for publishing.

    The message id is a digest of the content, not the command id: the same command id with different content
    must reach the service, which rejects it with `idempotency_conflict`. With `reply_to`, each call has a
    unique message id, because a queue that drops the duplicate would also drop its reply; the service
    deduplicates by command id.
    """
    if reply_to is not None and not reply_to.startswith("_INBOX"):
        raise ValueError(f"an outcome can only be sent to an inbox (_INBOX…), not to {reply_to!r}")
    subject = subjects.command(command.service, command.name)
    body = body_of(command)
    digest = hashlib.sha256(f"{subject}\n".encode() + body).hexdigest()
    message_id = f"{digest}-{uuid.uuid4().hex}" if reply_to else digest
    queue_headers = {api.Header.MSG_ID.value: message_id, api.Header.EXPECTED_STREAM.value: COMMANDS_STREAM}
    if reply_to:
        queue_headers[REPLY_TO_HEADER] = reply_to
    return EncodedCommand(command.command_id, subject, body, {**(headers or {}), **queue_headers})


async def queue_one(
    connection: Connection, command: EncodedCommand, *, deadline_seconds: float, attempt_seconds: float
) -> Queued:
    """Publish one command, retrying until JetStream has stored it."""

    async def attempt(timeout_seconds: float) -> Queued:
        check_size(connection, command.subject, command.body, command.headers)
        reply = await connection.nats.request(
            command.subject, command.body, timeout=timeout_seconds, headers=dict(command.headers)
        )
        ack = acknowledgement(reply.data)
        return Queued(command.command_id, ack.seq, bool(ack.duplicate))

    return await until_deadline(
        attempt,
        subject=command.subject,
        connection=connection,
        deadline_seconds=deadline_seconds,
        attempt_seconds=attempt_seconds,
    )


async def queue_many(
    connection: Connection,
    commands: Sequence[EncodedCommand],
    *,
    deadline_seconds: float,
    attempt_seconds: float,
) -> list[Queued]:
    """Publish commands in order, in atomic batches; a batch with a duplicate is published one by one."""
    queued: list[Queued] = []
    for command in commands:
        check_size(connection, command.subject, command.body, command.headers)
    for batch in batches(commands):

        async def attempt(
            timeout_seconds: float, batch: Sequence[EncodedCommand] = batch
        ) -> list[Queued] | None:
            return await _publish_batch(connection, batch, timeout_seconds)

        stored = await until_deadline(
            attempt,
            subject=batch[0].subject,
            connection=connection,
            deadline_seconds=deadline_seconds,
            attempt_seconds=attempt_seconds,
        )
        queued += (
            stored
            if stored is not None
            else await _one_by_one(
                connection, batch, deadline_seconds=deadline_seconds, attempt_seconds=attempt_seconds
            )
        )
    return queued


def batches(commands: Sequence[EncodedCommand]) -> Iterator[Sequence[EncodedCommand]]:
    """Split commands into non-empty batches of at most `BATCH_MAX_MESSAGES` and `BATCH_MAX_BYTES`."""
    start = size = 0
    for index, command in enumerate(commands):
        if index > start and (
            index - start == BATCH_MAX_MESSAGES or size + len(command.body) > BATCH_MAX_BYTES
        ):
            yield commands[start:index]
            start, size = index, 0
        size += len(command.body)
    if start < len(commands):
        yield commands[start:]


async def _publish_batch(
    connection: Connection, batch: Sequence[EncodedCommand], timeout_seconds: float
) -> list[Queued] | None:
    """Publish a batch atomically; return None when it contains a command that was queued shortly before."""
    batch_id = uuid.uuid4().hex
    for sequence, command in enumerate(batch[:-1], start=1):
        headers = {**command.headers, "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(sequence)}
        await connection.nats.publish(command.subject, command.body, headers=headers)
    last = batch[-1]
    headers = {
        **last.headers,
        "Nats-Batch-Id": batch_id,
        "Nats-Batch-Sequence": str(len(batch)),
        "Nats-Batch-Commit": "1",
    }
    reply = await connection.nats.request(last.subject, last.body, timeout=timeout_seconds, headers=headers)
    try:
        ack = acknowledgement(reply.data)
    except DuplicateInBatch:
        return None
    first = ack.seq - len(batch) + 1
    return [Queued(command.command_id, first + index, False) for index, command in enumerate(batch)]


async def _one_by_one(
    connection: Connection,
    batch: Sequence[EncodedCommand],
    *,
    deadline_seconds: float,
    attempt_seconds: float,
) -> list[Queued]:
    queued: list[Queued] = []
    for start in range(0, len(batch), SINGLES_IN_FLIGHT):
        window = batch[start : start + SINGLES_IN_FLIGHT]
        queued += await asyncio.gather(
            *(
                queue_one(
                    connection, command, deadline_seconds=deadline_seconds, attempt_seconds=attempt_seconds
                )
                for command in window
            )
        )
    return queued


class DuplicateInBatch(Exception):
    """A batch was rejected because one of its commands is already queued."""


def acknowledgement(data: bytes) -> api.PubAck:
    """Parse JetStream's acknowledgement; raises TryAgain, DuplicateInBatch or QueueRefused on errors."""
    reply = json.loads(data)
    error = reply.get("error")
    if error is None:
        return api.PubAck.from_response(reply)
    code, description = error.get("err_code"), error.get("description", "")
    if code == DUPLICATE_IN_BATCH:
        raise DuplicateInBatch
    if error.get("code") == 503 or code in STREAM_FULL_CODES:
        raise TryAgain(f"JetStream says: {description}")
    raise QueueRefused(f"the queue refused a command: {description} (JetStream error {code})")
