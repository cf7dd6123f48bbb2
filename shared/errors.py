"""The errors of use cases: a command is rejected for good, or cannot be decided now."""

from pydantic import JsonValue

from tallystick.messages.base import ErrorBody


class Rejected(Exception):
    """The command or question is rejected; final, and stored as the outcome of a command."""

    def __init__(self, code: str, message: str = "", details: JsonValue = None) -> None:
        super().__init__(f"{code}: {message}")
        self.error = ErrorBody(code=code, message=message, details={} if details is None else details)


class NotYetKnown(Rejected):
    """A rejection that may be too early: an event that is on its way could make the command possible.

    The command is tried again in new transactions for PROJECTION_LAG_SECONDS before the rejection counts.
    """

    @classmethod
    def of(cls, rejection: Rejected) -> "NotYetKnown":
        """The same rejection, to be tried again."""
        error = rejection.error
        return cls(error.code, error.message, error.details)


class Unavailable(Exception):
    """The outcome cannot be known now, because the database or a provider is away.

    Nothing is stored; the command may be sent again with the same id.
    """


class ConcurrentDuplicate(Unavailable):
    """Another worker handled the same command at the same time; a retry finds its outcome."""

    def __init__(self) -> None:
        super().__init__("the same command is being handled elsewhere")


def invalid_message(problems: list[JsonValue]) -> Rejected:
    """Build the rejection of a message with wrong fields."""
    return Rejected(
        "invalid_message", "The message has missing, wrong or unknown fields.", {"fields": problems}
    )
