"""How a rule says no; the handlers turn it into a rejection."""

from pydantic import JsonValue


class RuleViolation(Exception):
    """A wish that a rule refuses: a code of the contract, words for people, the facts behind it."""

    def __init__(self, code: str, message: str, **details: JsonValue) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
