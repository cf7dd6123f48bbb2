"""What is bought beside a plan."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from tallystick.messages.base import (
    Code,
    Command,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    Text,
    Told,
    Url,
)
from tallystick.messages.catalog import DETAILS_MAX
from tallystick.messages.subscriptions.types import SERVICE, Status


def _few(details: dict[str, str]) -> dict[str, str]:
    if len(details) > DETAILS_MAX:
        raise ValueError(f"at most {DETAILS_MAX} details")
    return details


Details = Annotated[
    dict[Code, Annotated[Text, Field(max_length=500)]],
    AfterValidator(_few),
]
"""What a buyer tells, by the codes that the product asks for."""


class AddOnSnapshot(Told):
    """An add-on as it stands; its money and its features are those of its own subscription."""

    add_on_id: EntityId
    version: PositiveCount
    customer: Customer
    product: Code
    price: Code
    details: dict[str, str] = Field(description="What its buyer told, such as `domain_name`.")
    status: Status = Field(description="As of its subscription.")
    cancel_at: Instant | None = Field(description="When it ends or has ended; null: it goes on.")
    subscription_id: EntityId
    created_at: Instant


class AddOnFound(Told):
    """An add-on, as changed."""

    add_on: AddOnSnapshot


class AddOnPurchased(Told):
    """The add-on, where a saved card paid for it; else the page where the customer pays."""

    add_on: AddOnSnapshot | None = None
    checkout_url: str | None = None
    checkout_id: EntityId | None = None
    expires_at: Instant | None = Field(default=None, description="When the page is gone.")

    @model_serializer(mode="wrap")
    def _one_or_the_other(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class AddOnPage(Told):
    """A page of add-ons, newest first."""

    items: list[AddOnSnapshot]
    next_cursor: str | None = None


class PurchaseAddOn(
    Command[AddOnPurchased],
    service=SERVICE,
    rejections=("unknown_price", "not_an_add_on", "add_on_details_required", "no_active_subscription"),
):
    """Buy an add-on with the saved card, else on a checkout page.

    `add_on_details_required`: `details` has all that is `missing` and `invalid`.
    """

    customer: Customer
    price: Code
    details: Details = Field(
        default={}, description="What the product asks for; names of domains must be some."
    )
    success_url: Url
    cancel_url: Url


class CancelAddOn(Command[AddOnFound], service=SERVICE, rejections=("subscription_ended",)):
    """End an add-on, at once or when what is paid for is over; one that has ended stays as it is.

    `subscription_ended`: it ended in Stripe at this moment, of which we had not heard.
    """

    add_on_id: EntityId
    at: Literal["period_end", "now"]


class ListAddOns(Page, Question[AddOnPage], service=SERVICE):
    """A customer's add-ons, newest first, those that have ended included."""

    customer: Customer


class AddOnEvent(Event, service=SERVICE, entity="add_on", names=("purchased", "updated", "canceled")):
    """An add-on was paid for, changed, or has ended; `updated`: its status, or that it will end."""

    add_on: AddOnSnapshot
