"""What `subscriptions` says before and after it sells a team fewer seats. For Tallystick's own services."""

from pydantic import Field

from tallystick.messages.base import Command, CommandId, Count, EntityId, Told
from tallystick.messages.seats.types import SERVICE
from tallystick.messages.subscriptions.types import When


class SeatCountHeld(Told):
    """Whether anybody is held to it."""

    team_id: EntityId | None = Field(description="Null: the subscription has no team.")


class HoldSeatCount(Command[SeatCountHeld], service=SERVICE, rejections=("seats_in_use",)):
    """Give away no more than so many seats until `release_seat_count`; refused where more are taken."""

    subscription_id: EntityId
    quantity: Count = Field(description="0: the plan that is wanted has no seats.")
    when: When | None
    held_for: CommandId = Field(description="The command at `subscriptions` that wants fewer seats.")


class ReleaseSeatCount(Command[SeatCountHeld], service=SERVICE):
    """What came of it is told: once that is known here, the subscription's own number counts again."""

    subscription_id: EntityId
    held_for: CommandId
    version: Count = Field(description="The subscription's version by which the outcome is told.")
