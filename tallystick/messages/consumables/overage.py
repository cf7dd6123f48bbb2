"""Charges for units beyond the included ones."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Command, Count, Customer, EntityId, Instant, Money, TolerantModel
from tallystick.messages.consumables.types import SERVICE


class OverageOwed(TolerantModel):
    """Units beyond the included ones that are on no invoice yet."""

    quantity: Count
    amount: Money


class OverageCharge(TolerantModel):
    """Charge for units beyond the included ones."""

    charge_id: EntityId
    customer: Customer
    amount: Money
    status: Literal["pending", "invoiced", "failed"]
    reason: str | None = Field(description="Why it failed; it is made again a day later.")
    stripe_invoice_id: str | None
    created_at: Instant


class OverageCharged(TolerantModel):
    """Charge after the command."""

    charge: OverageCharge


class ChargeOverage(Command[OverageCharged], service=SERVICE):
    """Put what is owed for a billing period on an invoice. For Tallystick's own services."""

    charge_id: EntityId
