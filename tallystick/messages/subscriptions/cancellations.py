"""The preview of a cancellation: what ends when, and what is credited for paid time after that."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Code, Count, EntityId, Instant, Money, Question, TolerantModel
from tallystick.messages.subscriptions.invoices import InvoiceLine
from tallystick.messages.subscriptions.types import SERVICE


class EndingItem(TolerantModel):
    """Something that ends with a subscription."""

    kind: Literal["plan", "add_on", "seats", "units"]
    subscription_id: EntityId
    add_on_id: EntityId | None = None
    product: Code | None = Field(description="Product; null if the catalog does not have it.")
    feature: Code | None = Field(default=None, description="Feature whose units end.")
    quantity: Count | None = Field(default=None, description="Number of seats, or units of a period.")
    ends_at: Instant | None = Field(description="Time at which it ends; null: unknown.")


class CancellationPreview(TolerantModel):
    """What a cancellation ends, and what it credits. Nothing has been changed."""

    ends_at: Instant | None = Field(description="Time at which the subscription ends; null: unknown.")
    ends: list[EndingItem]
    lines: list[InvoiceLine] = Field(description="Credits for paid time of add-ons after their end.")
    credit: Money | None = Field(
        description="Sum of the credits, used for the next invoices; null: nothing is credited."
    )


class PreviewCancellation(
    Question[CancellationPreview], service=SERVICE, rejections=("not_found", "subscription_ended")
):
    """Preview a cancellation; nothing is changed."""

    subscription_id: EntityId
    at: Literal["period_end", "now"] = "period_end"
