"""Refunds and disputes of paid invoices, made here or in Stripe's dashboard."""

from typing import Annotated, Literal

from pydantic import Field

from tallystick.messages.base import (
    Command,
    Customer,
    EntityId,
    Instant,
    Money,
    Page,
    Question,
    Text,
    TolerantModel,
)
from tallystick.messages.subscriptions.charges import CHARGE_MAX, Charge
from tallystick.messages.subscriptions.types import SERVICE

RefundStatus = Literal["pending", "succeeded", "failed", "canceled"]
DisputeStatus = Literal["inquiry", "open", "won", "lost", "closed"]


class RefundSnapshot(TolerantModel):
    """Refund of a paid invoice."""

    refund_id: EntityId
    invoice_id: EntityId
    customer: Customer
    amount: Money
    status: RefundStatus = Field(description="A refund that `failed` was not paid out: the money is back.")
    reason: str | None = Field(description="Reason given for it, or Stripe's.")
    requested_by: str | None = Field(
        description="`requested_by` of the command; null: none, or made in Stripe."
    )
    stripe_refund_id: str | None = Field(description="Stripe refund id; null until Stripe has made it.")
    created_at: Instant


class RefundMade(TolerantModel):
    """Refund that the command has made."""

    refund: RefundSnapshot


class RefundPage(TolerantModel):
    """Page of refunds, newest first."""

    items: list[RefundSnapshot]
    next_cursor: str | None = None


class DisputeSnapshot(TolerantModel):
    """Dispute of a payment, which Stripe decides on."""

    dispute_id: EntityId
    invoice_id: EntityId
    customer: Customer
    amount: Money
    status: DisputeStatus = Field(
        description="`inquiry`: the bank asks, and nothing is taken back yet. `closed`: an inquiry is over."
    )
    reason: str = Field(description="Stripe's reason, such as `fraudulent`.")
    respond_by: Instant | None = Field(description="Time until which evidence can be submitted in Stripe.")
    stripe_dispute_id: str
    opened_at: Instant
    closed_at: Instant | None


class DisputePage(TolerantModel):
    """Page of disputes, newest first."""

    items: list[DisputeSnapshot]
    next_cursor: str | None = None


class RefundInvoice(
    Command[RefundMade],
    service=SERVICE,
    rejections=("already_refunded", "amount_too_large", "invoice_not_paid", "invoice_disputed"),
):
    """Refund a paid invoice, fully or partly, to the payment method it was paid with.

    Partial refunds add up to no more than was paid. `end_subscription` also cancels the invoice's
    subscription at once. `amount_too_large` names what is left in `details`.
    """

    invoice_id: EntityId
    amount: Charge | Annotated[int, Field(ge=1, le=CHARGE_MAX)] | None = Field(
        default=None,
        description="Amount in the invoice's minor unit, or with its currency; absent: all that is left.",
    )
    reason: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="Stored with the refund, and in Stripe; one of Stripe's own reasons is used as such."
    )
    end_subscription: bool = Field(
        default=False, description="Also cancel the subscription of the invoice at once."
    )


class ListRefunds(Page, Question[RefundPage], service=SERVICE):
    """List refunds, newest first."""

    customer: Customer | None = None
    invoice_id: EntityId | None = None


class ListDisputes(Page, Question[DisputePage], service=SERVICE):
    """List disputes, newest first."""

    customer: Customer | None = None
    status: DisputeStatus | None = None
