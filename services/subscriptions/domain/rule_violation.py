"""The exception that the rules raise: an error code of the contract, a message, and details for programs."""

from pydantic import JsonValue


class RuleViolation(Exception):
    """A request that the rules reject."""

    def __init__(self, code: str, message: str, **details: JsonValue) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
