"""Invitation tokens in results: shown to the caller, never stored in clear text.

A handler returns `WITHHELD` in place of the token, and the inbox stores that. The token is inserted into each
reply to the caller, also when the command is repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.seats.domain.invitations import hash_token
from tallystick.messages.base import Command, Outcome
from tallystick.messages.seats import invitation_token

WITHHELD = "withheld"
SECRET_MIN_CHARACTERS = 32
"""A shorter secret could be guessed by anybody who has received one token."""


@dataclass(frozen=True, slots=True)
class Invitations:
    """Hashes of invitation tokens, derived from the setting `INVITATION_SECRET`."""

    secret: bytes

    @classmethod
    def of(cls, setting: str | None) -> "Invitations":
        """Create from the setting; raise ValueError if it is missing or too short."""
        if setting is None or len(setting) < SECRET_MIN_CHARACTERS:
            raise ValueError(f"INVITATION_SECRET must have {SECRET_MIN_CHARACTERS} characters or more")
        return cls(setting.encode())

    def hash_for(self, command_id: str, seat_id: str) -> bytes:
        """Return the stored hash of the token that a command created for a seat."""
        return hash_token(invitation_token(self.secret, command_id, seat_id))


def reveal_tokens(command: Command[Any], outcome: Outcome, invitations: Invitations) -> Outcome:
    """Insert the tokens into the outcome of a command for one seat or for many."""
    if outcome.result is None:
        return outcome
    token = _token_revealer(invitations.secret, command.command_id)
    result: dict[str, Any] = dict(outcome.result)
    if "assigned" in result:
        result["assigned"] = [token(one) for one in result["assigned"]]
    return outcome.model_copy(update={"result": token(result)})


def _token_revealer(secret: bytes, command_id: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def shown(result: dict[str, Any]) -> dict[str, Any]:
        if result.get("invitation_token") != WITHHELD:
            return result
        return {**result, "invitation_token": invitation_token(secret, command_id, result["seat"]["seat_id"])}

    return shown
