"""Commands of `subscriptions` around selling a team fewer seats. For Tallystick's own services."""

from pydantic import Field

from tallystick.messages.base import Command, CommandId, Count, EntityId, TolerantModel
from tallystick.messages.seats.types import SERVICE
from tallystick.messages.subscriptions.types import When


class SeatCountHeld(TolerantModel):
    """Team whose number of seats is held."""

    team_id: EntityId | None = Field(description="Team; null: the subscription has no team.")


class HoldSeatCount(Command[SeatCountHeld], service=SERVICE, rejections=("seats_in_use",)):
    """Cap assigned seats until `release_seat_count`; rejected if more are in use."""

    subscription_id: EntityId
    quantity: Count = Field(description="Cap on assigned seats; 0: the requested plan has no seats.")
    when: When | None
    held_for: CommandId = Field(description="Command of `subscriptions` that reduces the seats.")


class ReleaseSeatCount(Command[SeatCountHeld], service=SERVICE):
    """Remove the cap. It ends once the given version of the subscription is known here."""

    subscription_id: EntityId
    held_for: CommandId
    version: Count = Field(description="Subscription version that contains the outcome of the command.")
