"""Dead letters: messages that failed for good, read with their reason and sent back once it is gone."""

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
"""A reader that broke off is forgotten by the server after this long."""
PUBLISH_TIMEOUT_SECONDS = 5.0
ORIGIN_PREFIX = "Billing-"
TRUNCATED_HEADER = f"{ORIGIN_PREFIX}Truncated"
"""How many bytes the body had of a message that was too large to be kept whole."""
DROPPED_HEADERS_HEADER = f"{ORIGIN_PREFIX}Dropped-Headers"
"""How many headers of the message were too large, or too strange, to be kept."""
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
"""What is noted when a message is given up, each in a header with the prefix."""
SHOWN_DEPTH_MAX = 100
"""Lists and objects inside one another in a body shown as JSON; some that write JSON refuse 250."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for good."""

    sequence: int
    headers: dict[str, str]
    body: bytes
    subject: str = ""
    """Where it lies: `billing.dead_letters.<service>.<handler>`."""

    def about(self, name: str) -> str:
        """One of the things that are `NOTED`."""
        return self.headers.get(f"{ORIGIN_PREFIX}{name}", "")

    @property
    def is_cut(self) -> bool:
        """Whether a part of the message is missing, so that it cannot be sent back."""
        return TRUNCATED_HEADER in self.headers or DROPPED_HEADERS_HEADER in self.headers

    def original_headers(self) -> dict[str, str]:
        """The headers the message had that are read anywhere, to send it again under a new message id."""
        kept = kept_headers(self.headers)
        # Given twice by an impatient operator, it is stored once.
        return {**kept, "Nats-Msg-Id": f"dead-letter-{self.sequence}-{self.about('Failed-At')}"}

    def readable_body(self) -> Any:
        """The body as JSON where that can be written again, else as text.

        Deep nesting or half a character may be what made it a dead letter, and it is to be shown.
        """
        with suppress(ValueError, RecursionError):
            content = json.loads(self.body)
            if _is_shallow(content):
                json.dumps(content, ensure_ascii=False).encode()
                return content
        return self.body.decode(errors="replace")


def _is_shallow(content: Any) -> bool:
    layer = [content]
    for _ in range(SHOWN_DEPTH_MAX):
        below = [list(one.values()) if isinstance(one, dict) else one for one in layer]
        layer = [child for children in below if isinstance(children, list) for child in children]
        if not layer:
            return True
    return False


async def read_all(connection: Connection) -> AsyncIterator[DeadLetter]:
    """Every dead letter, oldest first."""
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
    """One dead letter by its number; None where there is none."""
    try:
        raw = await connection.jetstream().get_msg(DEAD_LETTERS_STREAM, seq=number)
    except NotFoundError:
        return None
    return DeadLetter(number, dict(raw.headers or {}), raw.data or b"", raw.subject or "")


def why_not_retriable(letter: DeadLetter, subjects: Subjects, webhook_subject: str) -> str | None:
    """Why a letter is not sent back by anybody; None where it is."""
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
    """Have a message handled again, and take it off the list; what kept it from that, if anything did.

    It goes back only to a subject of ours that the service reads which buried it.
    """
    problem = why_not_retriable(letter, subjects, webhook_subject)
    if problem is not None:
        return problem
    subject = letter.about("Origin-Subject")
    jetstream = connection.jetstream()
    try:
        # Published first: in between a crash leaves it twice, never not at all.
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
