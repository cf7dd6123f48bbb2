"""What the service says to itself about the teams behind its subscriptions."""

from pydantic import Field

from tallystick.messages.base import Command, EntityId, Text, Told
from tallystick.messages.subscriptions.types import SERVICE


class SeatsRefreshed(Told):
    """Whose seats give what the subscription gives now."""

    subscription_id: EntityId


class RefreshSeats(Command[SeatsRefreshed], service=SERVICE):
    """Bring what holders of seats may use in line with a subscription. For Tallystick's own services."""

    subscription_id: EntityId
    caused_by: Text = Field(description="What has changed the subscription.")
