"""Errors of the client; each message says how to fix the problem."""

from typing import Any


class TallystickError(Exception):
    """Base class of all errors raised by this package."""


class Unreachable(TallystickError):
    """NATS could not be reached, or rejected the credentials."""


class NotProvisioned(TallystickError):
    """A stream, bucket or consumer does not exist, or this user has no access to it."""


class DeadlineExceeded(TallystickError):
    """No answer arrived before the deadline.

    The outcome of a command is then unknown. Send it again with the same `command_id`: it takes effect once,
    and the outcome is the same.
    """

    def __init__(self, subject: str, deadline_seconds: float, attempts: int, last_problem: str) -> None:
        super().__init__(
            f"no answer on {subject} within {deadline_seconds:g} s, in {attempts} attempts: {last_problem}"
        )
        self.subject = subject
        self.attempts = attempts
        self.last_problem = last_problem


class Rejected(TallystickError):
    """Base class of rejections: `code` is for programs, `message` for people, `details` is structured."""

    def __init__(self, name: str, code: str, message: str, details: Any) -> None:
        super().__init__(f"{name} was rejected: {code}" + (f": {message}" if message else ""))
        self.name = name
        self.code = code
        self.message = message
        self.details = details


class CommandRejected(Rejected):
    """The command was rejected for good; the same `command_id` always gets the same outcome."""


class QuestionRejected(Rejected):
    """The question cannot be answered, for example because the object does not exist."""


class UnexpectedReply(TallystickError):
    """A reply does not have the expected form; the service runs another version."""


class QueueRefused(TallystickError):
    """The queue did not accept a command: it is full or missing, or this user may not publish to it."""


class ConsumerMismatch(TallystickError):
    """A durable consumer with this name exists, with another filter."""


class FeedGap(TallystickError):
    """Events of an entity are missing from the feed; raised only with `on_gap="raise"`."""

    def __init__(self, entity_key: str, expected: int, found: int) -> None:
        super().__init__(
            f"the feed jumps from version {expected - 1} to {found} of {entity_key}; "
            "its snapshot is complete, but what happened in between was not delivered"
        )
        self.entity_key = entity_key
        self.expected = expected
        self.found = found
