"""Add-ons, bought in addition to a plan."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from tallystick.messages.base import (
    Code,
    Command,
    Customer,
    EntityId,
    Event,
    Instant,
    Money,
    Page,
    PositiveCount,
    Question,
    Text,
    TolerantModel,
    Url,
)
from tallystick.messages.catalog import DETAILS_MAX
from tallystick.messages.subscriptions.types import SERVICE, Status


def _check_details(details: dict[str, str]) -> dict[str, str]:
    if len(details) > DETAILS_MAX:
        raise ValueError(f"at most {DETAILS_MAX} details")
    return details


Details = Annotated[
    dict[Code, Annotated[Text, Field(max_length=500)]],
    AfterValidator(_check_details),
]
"""Details of the buyer, by the codes the product requires."""


class AddOnSnapshot(TolerantModel):
    """Snapshot of an add-on; its price and features belong to its own subscription."""

    add_on_id: EntityId
    version: PositiveCount
    customer: Customer
    product: Code
    price: Code
    details: dict[str, str] = Field(description="Details of the buyer, such as `domain_name`.")
    status: Status = Field(description="Status of its subscription.")
    cancel_at: Instant | None = Field(
        description="Time at which it ends or ended; null: no end is scheduled."
    )
    subscription_id: EntityId
    created_at: Instant


class AddOnFound(TolerantModel):
    """Add-on after the command."""

    add_on: AddOnSnapshot


class AddOnPurchased(TolerantModel):
    """The add-on if a saved card paid for it, else the checkout page."""

    add_on: AddOnSnapshot | None = None
    checkout_url: str | None = None
    checkout_id: EntityId | None = None
    expires_at: Instant | None = Field(default=None, description="Time at which the page expires.")

    @model_serializer(mode="wrap")
    def _without_nulls(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class AddOnPage(TolerantModel):
    """Page of add-ons, newest first."""

    items: list[AddOnSnapshot]
    next_cursor: str | None = None


class PurchaseAddOn(
    Command[AddOnPurchased],
    service=SERVICE,
    rejections=(
        "unknown_price",
        "not_an_add_on",
        "add_on_details_required",
        "no_active_subscription",
        "already_subscribed",
        "amount_changed",
    ),
):
    """Buy an add-on with the saved card, else on a checkout page.

    `add_on_details_required`: `details` lists everything `missing` and `invalid`. `already_subscribed`: the
    customer has it, or a checkout for it is open, and a second one would add nothing. `amount_changed`:
    another amount than `due_now` is due; `details` has it.
    """

    customer: Customer
    price: Code
    details: Details = Field(
        default={}, description="Details the product requires; domain names must be valid."
    )
    success_url: Url
    cancel_url: Url
    due_now: Money | None = Field(
        default=None, description="Amount of the preview that the buyer has agreed to; absent: not checked."
    )


class CancelAddOn(Command[AddOnFound], service=SERVICE, rejections=("subscription_ended",)):
    """Cancel an add-on, immediately or at the end of the period; no effect if it has ended.

    `subscription_ended`: it ended in Stripe just now, before the event arrived.
    """

    add_on_id: EntityId
    at: Literal["period_end", "now"]


class EndAddOnWithPlan(Command[AddOnFound], service=SERVICE):
    """Let an add-on end when its customer's last plan ends, or go on with it. For Tallystick's own services.

    Paid time after the end is credited on a last invoice.
    """

    add_on_id: EntityId


class ListAddOns(Page, Question[AddOnPage], service=SERVICE):
    """List a customer's add-ons, newest first, including ended ones."""

    customer: Customer


class AddOnEvent(Event, service=SERVICE, entity="add_on", names=("purchased", "updated", "canceled")):
    """An add-on was purchased, updated (status or scheduled end), or has ended."""

    add_on: AddOnSnapshot
