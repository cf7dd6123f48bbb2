"""How the rules say no: with a code of the contract, words for people and facts for programs."""

from pydantic import JsonValue


class RuleViolation(Exception):
    """A wish that the rules do not allow."""

    def __init__(self, code: str, message: str, **details: JsonValue) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
