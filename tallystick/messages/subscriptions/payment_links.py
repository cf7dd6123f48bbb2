"""Payment links: pages of Stripe's on which anybody can buy, known or not."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Command,
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    Metadata,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
    Url,
)
from tallystick.messages.subscriptions.checkout import ItemsToBuy, ItemToBuy
from tallystick.messages.subscriptions.types import SERVICE

USES_MAX = 1_000_000
"""Limit of the uses that a link can be restricted to."""

PaymentLinkStatus = Literal["active", "deactivated"]


class PaymentLinkSnapshot(TolerantModel):
    """Snapshot of a payment link."""

    payment_link_id: EntityId
    version: PositiveCount
    url: str = Field(description="Stripe's page; `client_reference_id` may be added to its query.")
    status: PaymentLinkStatus
    items: list[ItemToBuy]
    after_url: str | None
    metadata: Metadata
    customer: Customer | None = Field(description="Who buys, whoever pays; null: decided by the payment.")
    uses_max: PositiveCount | None = Field(description="Uses after which it is deactivated; null: no limit.")
    uses: Count = Field(description="Completed payments, without those that were refunded.")
    stripe_payment_link_id: str
    created_at: Instant


class PaymentLinkUse(TolerantModel):
    """One completed payment through a link."""

    use_id: EntityId
    payment_link_id: EntityId
    customer: Customer = Field(description="Who bought; a customer who was not known is registered.")
    subscription_id: EntityId | None
    invoice_id: EntityId | None
    outcome: Literal["accepted", "refunded"] = Field(
        description="`refunded`: paid back and canceled, for the `reason`."
    )
    reason: Literal["already_subscribed", "uses_exceeded"] | None
    used_at: Instant


class PaymentLinkFound(TolerantModel):
    """Payment link after the command."""

    payment_link: PaymentLinkSnapshot


class PaymentLinkPage(TolerantModel):
    """Page of payment links, newest first."""

    items: list[PaymentLinkSnapshot]
    next_cursor: str | None = None


class PaymentLinkUsePage(TolerantModel):
    """Page of a link's uses, newest first."""

    items: list[PaymentLinkUse]
    next_cursor: str | None = None


class CreatePaymentLink(
    Command[PaymentLinkFound],
    service=SERVICE,
    rejections=("unknown_price", "quantity_out_of_range", "add_on_details_required"),
):
    """Create a page of Stripe's on which anybody can buy.

    Who pays and is not known becomes a customer: by `customer`, by the query's `client_reference_id`, by
    `customer` in `metadata`, else as a new user. Somebody who has the plan already is refunded, and the
    second subscription is canceled.
    """

    items: ItemsToBuy
    after_url: Url | None = Field(default=None, description="Where the payer is sent afterwards.")
    metadata: Metadata | None = Field(
        default=None, description="Passed on to Stripe; `customer` in it names who buys."
    )
    customer: Customer | None = None
    uses: Annotated[int, Field(ge=1, le=USES_MAX)] | None = Field(
        default=None, description="Completed payments after which it is deactivated."
    )

    @model_validator(mode="after")
    def _each_price_once(self) -> "CreatePaymentLink":
        if len({item.price for item in self.items}) < len(self.items):
            raise ValueError("name each price once and give its quantity")
        return self


class DeactivatePaymentLink(Command[PaymentLinkFound], service=SERVICE):
    """Deactivate a payment link for good; pages that are open cannot be paid any more. Again: no effect."""

    payment_link_id: EntityId


class ListPaymentLinks(Page, Question[PaymentLinkPage], service=SERVICE):
    """List payment links, newest first."""

    status: PaymentLinkStatus | None = None


class ListPaymentLinkUses(Page, Question[PaymentLinkUsePage], service=SERVICE, rejections=("not_found",)):
    """List completed payments through links, of one or of all, newest first."""

    payment_link_id: EntityId | None = None


class PaymentLinkEvent(
    Event, service=SERVICE, entity="payment_link", names=("created", "used", "deactivated")
):
    """A payment link was created, used or deactivated; `use` tells who paid and what became of it.

    The event's customer is the link's; of a link for anybody it is null.
    """

    payment_link: PaymentLinkSnapshot
    use: PaymentLinkUse | None = Field(default=None, description="Only of `used`.")
