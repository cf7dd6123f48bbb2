"""Answers to requests and to queued commands, sent to inboxes only.

The caller chooses the subject of the answer. A worker that published there with its own permissions could be
made to write events, buckets or commands. So an answer is sent only to an inbox, over a connection whose user
may publish nowhere else, and without the headers of the request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tallystick.message_size import message_size

log = structlog.get_logger()

INBOX = re.compile(r"(?:_INBOX(?:_[A-Za-z0-9-]+)*|_R_)(?:\.[^\s.*>]+)+")
"""`_INBOX.…` of a plain client, `_INBOX_<user>.…` of a named user, and `_R_.…`, into which NATS maps both
for a request from another account."""
SUBJECT_SHOWN_CHARACTERS = 200


def is_inbox(subject: str) -> bool:
    """Whether a subject is an inbox, to which an answer may be sent."""
    return INBOX.fullmatch(subject) is not None


@dataclass(slots=True)
class Answers:
    """Sends the answers of one worker."""

    connection: Client | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the connection for answers is open."""
        return self.connection is not None and self.connection.is_connected

    async def send(self, subject: str, body: bytes, *, too_large: Callable[[], bytes]) -> None:
        """Send an answer, or the answer that `too_large` builds if the body does not fit into a message.

        An answer that cannot be sent is logged. The caller retries with the same command id and gets the
        stored outcome.
        """
        about = subject[:SUBJECT_SHOWN_CHARACTERS]
        if not is_inbox(subject):
            log.warning("answer refused, its subject is no inbox", subject=about)
            return
        if self.connection is None:
            log.warning("answer not sent, there is no connection", subject=about)
            return
        if message_size(body) > self.connection.max_payload:
            log.error("answer too large", subject=about, bytes=len(body))
            body = too_large()
        try:
            await self.connection.publish(subject, body)
        except NatsError as error:
            log.warning("answer not sent", subject=about, error=str(error) or type(error).__name__)

    async def close(self) -> None:
        """Flush and close the connection."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None
