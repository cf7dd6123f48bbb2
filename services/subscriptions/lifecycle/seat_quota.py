"""Fewer seats only with the word of `seats`, which alone knows how many are taken at this moment."""

import hashlib
from typing import Protocol, TypeVar

from pydantic import BaseModel

from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as s
from tallystick.messages.base import Request
from tallystick.messages.subscriptions.types import When

Result = TypeVar("Result", bound=BaseModel)


class Asks(Protocol):
    """Whoever carries a command to another service and brings back what it says."""

    async def ask(self, message: Request[Result]) -> Result:
        """The other's answer; raises Rejected and Unavailable."""


class TeamRoom:
    """The room in the teams behind subscriptions.

    Without anybody to ask, what the events of teams have told so far decides.
    """

    def __init__(self, client: Asks | None = None) -> None:
        self._asking = client

    @property
    def is_asked(self) -> bool:
        """Whether `seats` decides, under its own lock."""
        return self._asking is not None

    async def hold(self, command_id: str, *, subscription_id: str, quantity: int, when: When | None) -> None:
        """Have no more than so many seats given away until `let_go`.

        Raises Rejected `seats_in_use`, and Unavailable while `seats` cannot say.
        """
        if self._asking is not None:
            await self._asking.ask(
                s.HoldSeatCount(
                    command_id=_id_for("hold", command_id),
                    subscription_id=subscription_id,
                    quantity=quantity,
                    when=when,
                    held_for=command_id,
                )
            )


def let_go(work: UnitOfWork, command_id: str, *, subscription_id: str, version: int) -> None:
    """Say that a change has come to its end; with it the subscription is at this version."""
    work.send(
        s.ReleaseSeatCount(
            command_id=_id_for("release", command_id),
            subscription_id=subscription_id,
            held_for=command_id,
            version=version,
        )
    )


def _id_for(purpose: str, command_id: str) -> str:
    """The same on every re-run, and never too long."""
    return f"subscriptions.{purpose}.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
