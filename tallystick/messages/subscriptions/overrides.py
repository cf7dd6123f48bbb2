"""Exceptions that people make for one customer."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Code, Command, Customer, Instant, Text, Told
from tallystick.messages.catalog import Units
from tallystick.messages.subscriptions.entitlements import EntitlementSnapshot
from tallystick.messages.subscriptions.types import SERVICE


class EntitlementFound(Told):
    """What a customer may use of a feature now."""

    entitlement: EntitlementSnapshot


class OverrideFeature(Command[EntitlementFound], service=SERVICE, rejections=("unknown_feature",)):
    """Give a customer a feature, or more of it, or take it away, whatever they have subscribed to.

    A quantity is added to what subscriptions give. Replaces the override there was; an `until` that is not in
    the future ends that one at once.

    Units follow in the customer's own account. A limit's ceiling is moved at once and moved back at the end;
    what is in use stays. A consumable's units come at once and then in each cycle of the plan that gives the
    feature, or once where no plan ever did; those that have come stay, whatever becomes of the override.
    """

    customer: Customer
    feature: Code
    quantity: Units | None = Field(
        default=None, description="Absent, with `allowed` true: unlimited. Not for flags."
    )
    allowed: bool | None = Field(
        default=None, description="False: taken away. May be left out with `quantity`."
    )
    until: Instant | None = Field(default=None, description="Absent: until it is set anew.")
    reason: Annotated[Text, Field(min_length=1)] = Field(description="Kept in the audit trail.")

    @model_validator(mode="after")
    def _nothing_of_what_is_taken_away(self) -> "OverrideFeature":
        if self.allowed is False and self.quantity is not None:
            raise ValueError("give a quantity or take the feature away, not both")
        return self
