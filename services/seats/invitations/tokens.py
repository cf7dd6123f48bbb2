"""Invitations' tokens as the handlers use them: made for the caller's eyes, stored as a hash.

A handler's result says `WITHHELD` where the token belongs. So it is written into the inbox, and only on its
way to the caller, the first time and at each repetition, the token takes its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.seats.domain.invitations import hash_token
from tallystick.messages.base import Command, Outcome
from tallystick.messages.seats import invitation_token

WITHHELD = "withheld"
SECRET_MIN_CHARACTERS = 32
"""Fewer than these could be guessed from one token that somebody was sent."""


@dataclass(frozen=True, slots=True)
class Invitations:
    """Makes tokens with the installation's secret, the setting `INVITATION_SECRET`."""

    secret: bytes

    @classmethod
    def of(cls, setting: str | None) -> "Invitations":
        """With the secret in the setting; raises ValueError where that is none or too short."""
        if setting is None or len(setting) < SECRET_MIN_CHARACTERS:
            raise ValueError(f"INVITATION_SECRET must have {SECRET_MIN_CHARACTERS} characters or more")
        return cls(setting.encode())

    def hash_for(self, command_id: str, seat_id: str) -> bytes:
        """What is stored of the token of an invitation that a command made."""
        return hash_token(invitation_token(self.secret, command_id, seat_id))


def reveal_tokens(command: Command[Any], outcome: Outcome, invitations: Invitations) -> Outcome:
    """The outcome of a command about one seat, or about many, with its tokens."""
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
