"""Hands commands over to JetStream: one by one, or many as atomic batches with one disk sync each."""

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
"""As many as the server takes in one atomic batch."""
BATCH_MAX_BYTES = 4 * 1024 * 1024
"""The server keeps an unfinished batch in memory; large commands make shorter batches."""
SINGLES_IN_FLIGHT = 64
"""Single publishes under way at a time: enough to hide the disk's latency, few enough not to flood the
server."""
DUPLICATE_IN_BATCH = 10201
"""JetStream's error when a batch holds a message id it has seen; the whole batch is refused."""
STREAM_FULL_CODES = frozenset({10047, 10077})
"""JetStream's errors when a stream or the storage is full: the workers empty it, so waiting helps."""


@dataclass(frozen=True, slots=True)
class Queued:
    """JetStream's word that a command is on its disk."""

    command_id: str
    sequence: int
    """Its place in `BILLING_COMMANDS`; of a duplicate, the place of the first. 0 where the server does not
    say."""
    duplicate: bool
    """The same command was queued a moment ago, and is not queued twice."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A command ready to be published."""

    command_id: str
    subject: str
    body: bytes
    headers: dict[str, str]


def pack(
    command: Command[Any], subjects: Subjects, reply_to: str | None, headers: Mapping[str, str] | None
) -> Parcel:
    """Make a command ready.

    The message id is a digest of the whole content, not the command id: the same id with other content must
    reach the service, which answers `idempotency_conflict`. Where an outcome is asked for, each call has an
    id of its own, since a queue that drops a repeated command would also drop the answer to it; the service
    itself carries it out once.
    """
    if reply_to is not None and not reply_to.startswith("_INBOX"):
        raise ValueError(f"an outcome can only be sent to an inbox (_INBOX…), not to {reply_to!r}")
    subject = subjects.command(command.service, command.name)
    body = body_of(command)
    digest = hashlib.sha256(f"{subject}\n".encode() + body).hexdigest()
    message_id = f"{digest}-{uuid.uuid4().hex}" if reply_to else digest
    own = {api.Header.MSG_ID.value: message_id, api.Header.EXPECTED_STREAM.value: COMMANDS_STREAM}
    if reply_to:
        own[REPLY_TO_HEADER] = reply_to
    return Parcel(command.command_id, subject, body, {**(headers or {}), **own})


async def queue_one(
    connection: Connection, parcel: Parcel, *, deadline_seconds: float, attempt_seconds: float
) -> Queued:
    """Publish one command, again and again until JetStream has it."""

    async def attempt(timeout_seconds: float) -> Queued:
        check_size(connection, parcel.subject, parcel.body, parcel.headers)
        reply = await connection.nats.request(
            parcel.subject, parcel.body, timeout=timeout_seconds, headers=dict(parcel.headers)
        )
        ack = acknowledgement(reply.data)
        return Queued(parcel.command_id, ack.seq, bool(ack.duplicate))

    return await until_deadline(
        attempt,
        subject=parcel.subject,
        connection=connection,
        deadline_seconds=deadline_seconds,
        attempt_seconds=attempt_seconds,
    )


async def queue_many(
    connection: Connection, parcels: Sequence[Parcel], *, deadline_seconds: float, attempt_seconds: float
) -> list[Queued]:
    """Publish commands in order, as atomic batches; a batch with a duplicate goes one by one instead."""
    queued: list[Queued] = []
    for parcel in parcels:
        check_size(connection, parcel.subject, parcel.body, parcel.headers)
    for batch in batches(parcels):

        async def attempt(timeout_seconds: float, batch: Sequence[Parcel] = batch) -> list[Queued] | None:
            return await _publish_batch(connection, batch, timeout_seconds)

        done = await until_deadline(
            attempt,
            subject=batch[0].subject,
            connection=connection,
            deadline_seconds=deadline_seconds,
            attempt_seconds=attempt_seconds,
        )
        queued += (
            done
            if done is not None
            else await _one_by_one(
                connection, batch, deadline_seconds=deadline_seconds, attempt_seconds=attempt_seconds
            )
        )
    return queued


def batches(parcels: Sequence[Parcel]) -> Iterator[Sequence[Parcel]]:
    """Cut into pieces of at most `BATCH_MAX_MESSAGES` and `BATCH_MAX_BYTES`, none empty."""
    start = size = 0
    for index, parcel in enumerate(parcels):
        if index > start and (
            index - start == BATCH_MAX_MESSAGES or size + len(parcel.body) > BATCH_MAX_BYTES
        ):
            yield parcels[start:index]
            start, size = index, 0
        size += len(parcel.body)
    if start < len(parcels):
        yield parcels[start:]


async def _publish_batch(
    connection: Connection, batch: Sequence[Parcel], timeout_seconds: float
) -> list[Queued] | None:
    """All or nothing; None when the batch holds a command that was queued a moment ago."""
    batch_id = uuid.uuid4().hex
    for sequence, parcel in enumerate(batch[:-1], start=1):
        headers = {**parcel.headers, "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(sequence)}
        await connection.nats.publish(parcel.subject, parcel.body, headers=headers)
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
    return [Queued(parcel.command_id, first + index, False) for index, parcel in enumerate(batch)]


async def _one_by_one(
    connection: Connection, batch: Sequence[Parcel], *, deadline_seconds: float, attempt_seconds: float
) -> list[Queued]:
    queued: list[Queued] = []
    for start in range(0, len(batch), SINGLES_IN_FLIGHT):
        window = batch[start : start + SINGLES_IN_FLIGHT]
        queued += await asyncio.gather(
            *(
                queue_one(
                    connection, parcel, deadline_seconds=deadline_seconds, attempt_seconds=attempt_seconds
                )
                for parcel in window
            )
        )
    return queued


class DuplicateInBatch(Exception):
    """A batch was refused because one of its commands is in the queue already."""


def acknowledgement(data: bytes) -> api.PubAck:
    """JetStream's acknowledgement; raises TryAgain, DuplicateInBatch or QueueRefused where it is none."""
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
