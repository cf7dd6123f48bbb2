"""What can go wrong for a caller, each error with a message that says what to do about it."""

from typing import Any


class TallystickError(Exception):
    """The root of all errors this package raises on purpose."""


class Unreachable(TallystickError):
    """NATS could not be reached, or refused the connection."""


class NotProvisioned(TallystickError):
    """A stream, bucket or consumer that must exist does not, or this user may not use it."""


class DeadlineExceeded(TallystickError):
    """Nobody answered in time.

    For a command it is not known whether it was carried out. Ask again with the same `command_id`: the
    outcome is the same, and there is no second effect.
    """

    def __init__(self, subject: str, deadline_seconds: float, attempts: int, last_problem: str) -> None:
        super().__init__(
            f"no answer on {subject} within {deadline_seconds:g} s, in {attempts} attempts: {last_problem}"
        )
        self.subject = subject
        self.attempts = attempts
        self.last_problem = last_problem


class Rejected(TallystickError):
    """A service said no: `code` is for programs, `message` for people, `details` holds the facts."""

    def __init__(self, name: str, code: str, message: str, details: Any) -> None:
        super().__init__(f"{name} was rejected: {code}" + (f": {message}" if message else ""))
        self.name = name
        self.code = code
        self.message = message
        self.details = details


class CommandRejected(Rejected):
    """The command was refused for good; the same `command_id` will get the same answer."""


class QuestionRejected(Rejected):
    """The question cannot be answered, for example because what it asks about does not exist."""


class UnexpectedReply(TallystickError):
    """A reply that does not have the promised form: the other side speaks another version."""


class QueueRefused(TallystickError):
    """The queue did not take a command: it is full, missing, or this user may not publish there."""


class ConsumerMismatch(TallystickError):
    """A durable consumer of that name exists already and reads something else."""


class FeedGap(TallystickError):
    """Events of an entity are missing from the feed; raised only where `on_gap="raise"` was asked for."""

    def __init__(self, entity_key: str, expected: int, found: int) -> None:
        super().__init__(
            f"the feed jumps from version {expected - 1} to {found} of {entity_key}; "
            "its snapshot is complete, but what happened in between was not delivered"
        )
        self.entity_key = entity_key
        self.expected = expected
        self.found = found
