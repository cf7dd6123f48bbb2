"""Command of `subscriptions` before it sells fewer seats of a license. For Tallystick's own services."""

from pydantic import Field

from tallystick.messages.base import Command, Count, EntityId, TolerantModel
from tallystick.messages.licenses.types import SERVICE


class LicenseSeatsConfirmed(TolerantModel):
    """License whose machines need no more seats than will be left."""

    license_id: EntityId | None = Field(description="License; null: the subscription has none that goes on.")


class ConfirmLicenseSeats(Command[LicenseSeatsConfirmed], service=SERVICE, rejections=("seats_in_use",)):
    """Check that so many seats are enough for the members that machines report."""

    subscription_id: EntityId
    quantity: Count = Field(description="Seats that will be left; 0: the requested plan has no seats.")
