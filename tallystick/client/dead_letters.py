"""Dead letters: reading the messages that could not be processed, and sending them back."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError

from tallystick.client.connection import Connection
from tallystick.client.dead_letter_origins import kept_headers, origin_problem
from tallystick.client.pull_consumer import PullReader
from tallystick.subjects import DEAD_LETTERS_STREAM, DEFAULT_WEBHOOK_SUBJECT, Subjects

READ_BATCH = 100
READER_GONE_SECONDS = 30.0
"""Time after which the server removes the consumer of a reader that stopped."""
PUBLISH_TIMEOUT_SECONDS = 5.0
ORIGIN_PREFIX = "Billing-"
TRUNCATED_HEADER = f"{ORIGIN_PREFIX}Truncated"
"""Original body size in bytes, of a message whose body was too large to keep."""
DROPPED_HEADERS_HEADER = f"{ORIGIN_PREFIX}Dropped-Headers"
"""Number of headers that were dropped because they were too large or invalid."""
NOTED = (
    "Origin-Subject",
    "Origin-Stream",
    "Service",
    "Handler",
    "Attempts",
    "Error",
    "Failed-At",
    "Truncated",
    "Dropped-Headers",
)
"""Names of the headers, without prefix, that describe the failure."""
SHOWN_DEPTH_MAX = 100
"""Nesting limit of a body shown as JSON; some JSON writers fail at 250 levels."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Message that could not be processed."""

    sequence: int
    headers: dict[str, str]
    body: bytes
    subject: str = ""
    """`billing.dead_letters.<service>.<handler>`."""

    def about(self, name: str) -> str:
        """Return one of the headers in `NOTED`; "" if it is absent."""
        return self.headers.get(f"{ORIGIN_PREFIX}{name}", "")

    @property
    def is_cut(self) -> bool:
        """Whether part of the message is missing, so that it cannot be sent back."""
        return TRUNCATED_HEADER in self.headers or DROPPED_HEADERS_HEADER in self.headers

    def original_headers(self) -> dict[str, str]:
        """Return the original headers that handlers read, with a new message id."""
        kept = kept_headers(self.headers)
        # JetStream stores it once when an operator retries it twice.
        return {**kept, "Nats-Msg-Id": f"dead-letter-{self.sequence}-{self.about('Failed-At')}"}

    def readable_body(self) -> Any:
        """Return the body as JSON if it can be encoded again, else as text.

        Deeply nested JSON or invalid Unicode may be the reason why the message failed, and must still be
        shown.
        """
        with suppress(ValueError, RecursionError):
            content = json.loads(self.body)
            if _is_shallow(content):
                json.dumps(content, ensure_ascii=False).encode()
                return content
        return self.body.decode(errors="replace")


def _is_shallow(content: Any) -> bool:
    level = [content]
    for _ in range(SHOWN_DEPTH_MAX):
        children_lists = [list(one.values()) if isinstance(one, dict) else one for one in level]
        level = [child for children in children_lists if isinstance(children, list) for child in children]
        if not level:
            return True
    return False


async def read_all(connection: Connection) -> AsyncIterator[DeadLetter]:
    """Yield every dead letter, oldest first."""
    reader = PullReader(connection, DEAD_LETTERS_STREAM, batch_size=READ_BATCH)
    await reader.start(
        api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE, mem_storage=True, inactive_threshold=READER_GONE_SECONDS
        )
    )
    try:
        while reader.pending:
            for message in await reader.batch():
                yield _letter(message)
    finally:
        await reader.close()


async def read_one(connection: Connection, number: int) -> DeadLetter | None:
    """Return the dead letter with this sequence number; None if there is none."""
    try:
        raw = await connection.jetstream().get_msg(DEAD_LETTERS_STREAM, seq=number)
    except NotFoundError:
        return None
    return DeadLetter(number, dict(raw.headers or {}), raw.data or b"", raw.subject or "")


def why_not_retriable(letter: DeadLetter, subjects: Subjects, webhook_subject: str) -> str | None:
    """Return why a dead letter cannot be sent back; None if it can."""
    if letter.is_cut:
        return "it was too large to be kept whole; its sender has to send it again"
    return origin_problem(letter.subject, letter.about("Origin-Subject"), subjects, webhook_subject)


async def send_back(
    connection: Connection,
    letter: DeadLetter,
    subjects: Subjects,
    *,
    webhook_subject: str = DEFAULT_WEBHOOK_SUBJECT,
) -> str | None:
    """Publish a dead letter to its original subject and delete it; return the error, if any.

    It is sent only to a subject of this installation that the service which buried it consumes.
    """
    problem = why_not_retriable(letter, subjects, webhook_subject)
    if problem is not None:
        return problem
    subject = letter.about("Origin-Subject")
    jetstream = connection.jetstream()
    try:
        # Published first: a crash in between leaves a duplicate instead of losing the message.
        await jetstream.publish(
            subject, letter.body, headers=letter.original_headers(), timeout=PUBLISH_TIMEOUT_SECONDS
        )
        await jetstream.delete_msg(DEAD_LETTERS_STREAM, letter.sequence)
    except (nats.errors.Error, TimeoutError) as error:
        return str(error) or type(error).__name__
    return None


def _letter(message: Msg) -> DeadLetter:
    sequence = message.metadata.sequence.stream
    return DeadLetter(sequence, dict(message.headers or {}), message.data, message.subject)
