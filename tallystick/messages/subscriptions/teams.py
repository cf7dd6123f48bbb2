"""Internal commands of the service about the teams of its subscriptions."""

from pydantic import Field

from tallystick.messages.base import Command, EntityId, Text, TolerantModel
from tallystick.messages.subscriptions.types import SERVICE


class SeatsRefreshed(TolerantModel):
    """Subscription whose seat holders' entitlements were refreshed."""

    subscription_id: EntityId


class RefreshSeats(Command[SeatsRefreshed], service=SERVICE):
    """Update the entitlements of seat holders to a subscription. For Tallystick's own services."""

    subscription_id: EntityId
    caused_by: Text = Field(description="Command id, Stripe event id or tick that changed the subscription.")
