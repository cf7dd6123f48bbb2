"""The errors of use cases: a command is rejected, or its outcome is unknown for now."""

from pydantic import JsonValue

from tallystick.messages.base import ErrorBody


class Rejected(Exception):
    """The command or question is rejected; the rejection is final and stored as a command's outcome."""

    def __init__(self, code: str, message: str = "", details: JsonValue = None) -> None:
        super().__init__(f"{code}: {message}")
        self.error = ErrorBody(code=code, message=message, details={} if details is None else details)


class NotYetKnown(Rejected):
    """A rejection that may be premature: an event that is not applied yet could change it.

    The command or question is retried in new transactions for PROJECTION_LAG_SECONDS before the rejection is
    final.
    """

    @classmethod
    def of(cls, rejection: Rejected) -> "NotYetKnown":
        """Convert a rejection into one that is retried."""
        error = rejection.error
        return cls(error.code, error.message, error.details)


class Unavailable(Exception):
    """The outcome is unknown for now, because the database or an external provider is away.

    Nothing is stored; the command may be retried with the same id.
    """


class ConcurrentDuplicate(Unavailable):
    """Another worker handled the same command at the same time; a retry returns its outcome."""

    def __init__(self) -> None:
        super().__init__("the same command is being handled elsewhere")


def invalid_message(problems: list[JsonValue]) -> Rejected:
    """Build the rejection of a message with wrong fields."""
    return Rejected(
        "invalid_message", "The message has missing, wrong or unknown fields.", {"fields": problems}
    )
