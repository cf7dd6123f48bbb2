"""The two ways a command can come to nothing: refused for good, or not possible just now."""

from pydantic import JsonValue

from tallystick.messages.base import ErrorBody


class Rejected(Exception):
    """The command or question is refused; final, and stored as the outcome of a command."""

    def __init__(self, code: str, message: str = "", details: JsonValue = None) -> None:
        super().__init__(f"{code}: {message}")
        self.error = ErrorBody(code=code, message=message, details={} if details is None else details)


class Unavailable(Exception):
    """We cannot tell just now (database or a provider away); not stored, may be retried with the same id."""


class ConcurrentDuplicate(Unavailable):
    """Another worker has handled the same command in the meantime; tried again, its outcome is found."""

    def __init__(self) -> None:
        super().__init__("the same command is being handled elsewhere")
