"""Manual overrides of a customer's entitlements."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Code, Command, Customer, Instant, Text, TolerantModel
from tallystick.messages.catalog import Units
from tallystick.messages.subscriptions.entitlements import EntitlementSnapshot
from tallystick.messages.subscriptions.types import SERVICE


class EntitlementFound(TolerantModel):
    """Entitlement of a customer to a feature."""

    entitlement: EntitlementSnapshot


class OverrideFeature(Command[EntitlementFound], service=SERVICE, rejections=("unknown_feature",)):
    """Grant a customer a feature, or more of it, or revoke it, regardless of subscriptions.

    A quantity is added to what subscriptions grant. The command replaces an existing override; an `until`
    that is not in the future ends it immediately.

    Units are granted to the customer's own account. The cap of a limit is raised immediately and lowered when
    the override ends; units in use stay in use. Units of a consumable are granted immediately and then in
    each cycle of the plan that includes the feature, or only once if no plan ever did; granted units stay
    after the override ends.
    """

    customer: Customer
    feature: Code
    quantity: Units | None = Field(
        default=None, description="Units to add; absent, with `allowed` true: unlimited. Not for flags."
    )
    allowed: bool | None = Field(default=None, description="False: revoked. Optional with `quantity`.")
    until: Instant | None = Field(
        default=None, description="End of the override; absent: until it is replaced."
    )
    reason: Annotated[Text, Field(min_length=1)] = Field(description="Stored in the audit trail.")

    @model_validator(mode="after")
    def _refuse_quantity_when_revoked(self) -> "OverrideFeature":
        if self.allowed is False and self.quantity is not None:
            raise ValueError("give a quantity or take the feature away, not both")
        return self
