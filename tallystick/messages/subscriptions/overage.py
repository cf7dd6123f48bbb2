"""Invoicing of units beyond the included ones, for Tallystick's own services."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import (
    Code,
    Command,
    Currency,
    Customer,
    EntityId,
    PositiveCount,
    Strict,
    Text,
    TolerantModel,
)
from tallystick.messages.catalog import UNITS_MAX
from tallystick.messages.subscriptions.types import SERVICE

LINES_MAX = 50
"""Features and prices on one charge."""


class OverageLine(Strict):
    """Units of a feature at one price; negative for units refunded after an earlier charge."""

    feature: Code
    quantity: Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]
    unit_amount: PositiveCount = Field(description="Price of a unit in the currency's minor unit.")
    description: Annotated[Text, Field(min_length=1, max_length=500)]


class OverageBilled(TolerantModel):
    """Invoice that has the lines."""

    stripe_invoice_id: str


class BillOverage(Command[OverageBilled], service=SERVICE, rejections=("no_stripe_customer",)):
    """Put units beyond the included ones on the renewal's draft invoice, or on one of their own.

    An invoice of their own is collected as the subscription's are. For Tallystick's own services.
    """

    customer: Customer
    subscription_id: EntityId
    currency: Currency
    lines: Annotated[list[OverageLine], Field(min_length=1, max_length=LINES_MAX)]
    reference: EntityId = Field(description="The charge; lines of one charge are made once.")
