"""Reducing seats, which `seats` must allow, and `licenses` where machines of the customer use them.

They know how many are in use.
"""

import hashlib
from typing import Protocol, TypeVar

from pydantic import BaseModel

from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses
from tallystick.messages import seats as s
from tallystick.messages.base import Request
from tallystick.messages.subscriptions.types import When

Result = TypeVar("Result", bound=BaseModel)


class Client(Protocol):
    """Sends a command to another service and waits for its answer."""

    async def ask(self, message: Request[Result]) -> Result:
        """Return the other service's result; raises Rejected and Unavailable."""


class SeatQuota:
    """Asks `seats` and `licenses` whether fewer seats are enough before the quantity is reduced.

    Without a client, the number of seats in use from the events of teams is used.
    """

    def __init__(self, client: Client | None = None) -> None:
        self._client = client

    @property
    def asks_seats(self) -> bool:
        """Whether `seats` and `licenses` decide, under their own locks."""
        return self._client is not None

    async def confirm_license(self, command_id: str, *, subscription_id: str, quantity: int) -> None:
        """Check that so many seats are enough for the members that the license's machines report.

        Nothing is held: what a machine reports later is true, whatever was sold.
        Raises Rejected `seats_in_use`, and Unavailable while `licenses` cannot answer.
        """
        if self._client is not None:
            await self._client.ask(
                licenses.ConfirmLicenseSeats(
                    command_id=_derived_command_id("confirm", command_id),
                    subscription_id=subscription_id,
                    quantity=quantity,
                )
            )

    async def hold(self, command_id: str, *, subscription_id: str, quantity: int, when: When | None) -> None:
        """Limit the team to this number of seats until `release_quota`.

        Raises Rejected `seats_in_use`, and Unavailable while `seats` cannot answer.
        """
        if self._client is not None:
            await self._client.ask(
                s.HoldSeatCount(
                    command_id=_derived_command_id("hold", command_id),
                    subscription_id=subscription_id,
                    quantity=quantity,
                    when=when,
                    held_for=command_id,
                )
            )


def release_quota(work: UnitOfWork, command_id: str, *, subscription_id: str, version: int) -> None:
    """Release the held seats; `version` is the subscription's version after the change."""
    work.send(
        s.ReleaseSeatCount(
            command_id=_derived_command_id("release", command_id),
            subscription_id=subscription_id,
            held_for=command_id,
            version=version,
        )
    )


def _derived_command_id(purpose: str, command_id: str) -> str:
    """Derive a command id that is the same on every re-run and within the length limit."""
    return f"subscriptions.{purpose}.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
