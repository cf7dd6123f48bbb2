"""Preview of what a change of a subscription does to units, for Tallystick's own services."""

from pydantic import ConfigDict, Field

from tallystick.messages.base import (
    Code,
    Count,
    Customer,
    EntityId,
    PositiveCount,
    Question,
    Strict,
    TolerantModel,
)
from tallystick.messages.catalog import Interval, SeatRule
from tallystick.messages.consumables.types import SERVICE
from tallystick.messages.subscriptions.invoices import Span
from tallystick.messages.subscriptions.subscriptions import ItemFeature
from tallystick.messages.subscriptions.types import When
from tallystick.messages.subscriptions.units import UnitsChange


class PlannedFeature(ItemFeature):
    """Feature that an item would include."""

    model_config = ConfigDict(extra="forbid")


class PlannedSeats(SeatRule):
    """Seat settings that an item would have."""

    model_config = ConfigDict(extra="forbid")


class PlannedPeriod(Span):
    """Billing period that a change would begin."""

    model_config = ConfigDict(extra="forbid")


class PlannedItem(Strict):
    """Item of a subscription after the change, with what decides about units."""

    product: Code | None = Field(description="Product code; null: the Stripe product is not in the catalog.")
    quantity: Count
    seats: PlannedSeats | None
    features: list[PlannedFeature]
    interval: Interval | None = Field(description="Unit of the billing period; null: not known.")


class UnitsPreview(TolerantModel):
    """Answer to `preview_units`."""

    units: list[UnitsChange] | None = Field(
        description="By feature, only those that the change concerns; null: too many accounts to say."
    )


class PreviewUnits(Question[UnitsPreview], service=SERVICE, rejections=("not_found",)):
    """Preview the effect of a subscription's change on units. For Tallystick's own services."""

    customer: Customer
    subscription_id: EntityId | None = Field(description="Null: a new subscription.")
    version: PositiveCount | None = Field(
        default=None, description="Version of the subscription that is changed; absent: any."
    )
    items: list[PlannedItem] = Field(description="All items of the subscription after the change.")
    when: When = "now"
    period: PlannedPeriod | None = Field(
        default=None, description="Billing period that the change begins; absent: the running one goes on."
    )
