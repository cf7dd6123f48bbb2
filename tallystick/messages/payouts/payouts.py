"""Payouts to sellers: their schedule, the payouts made, and what became of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Command,
    Count,
    Currency,
    EntityId,
    Event,
    Instant,
    Money,
    Page,
    PositiveCount,
    Question,
    Text,
    TolerantModel,
)
from tallystick.messages.payouts.accounts import AccountFound
from tallystick.messages.payouts.types import SERVICE, Every, HoldDays, Seller

PayoutStatus = Literal["pending", "paid", "failed", "reversed"]
"""`paid`: the money is in the seller's Stripe account. `reversed`: all of it was taken back."""


class PayoutFailure(TolerantModel):
    """Why Stripe refused a payout."""

    code: str | None = Field(description="Stripe's error code, such as `balance_insufficient`.")
    message: str


class PayoutSnapshot(TolerantModel):
    """Snapshot of a payout: a transfer to the seller's Stripe account."""

    payout_id: EntityId
    version: PositiveCount
    customer: Seller
    payout_account_id: EntityId
    status: PayoutStatus
    amount: Money
    amount_reversed: Count = Field(description="Part that was taken back and returned to the balance.")
    reference: str
    stripe_transfer_id: str | None
    failure: PayoutFailure | None
    created_at: Instant
    settled_at: Instant | None = Field(description="When it was paid or failed.")


class PayoutFound(TolerantModel):
    """Payout that the command made."""

    payout: PayoutSnapshot


class PayoutPage(TolerantModel):
    """Page of payouts, newest first."""

    items: list[PayoutSnapshot]
    next_cursor: str | None = None


class SetPayoutSchedule(Command[AccountFound], service=SERVICE, rejections=("not_connected",)):
    """Set when a seller's earnings are paid out; the hold applies to what is earned from now on."""

    customer: Seller
    hold_days: HoldDays
    every: Every
    minimum: Count | Money = Field(
        description="Smallest payout in minor units: in every currency, or in the named currency only."
    )

    @model_validator(mode="after")
    def _not_negative(self) -> "SetPayoutSchedule":
        if isinstance(self.minimum, Money) and self.minimum.amount < 0:
            raise ValueError("minimum must not be negative")
        return self


class PayOut(
    Command[PayoutFound],
    service=SERVICE,
    rejections=(
        "not_connected",
        "payouts_not_enabled",
        "insufficient_balance",
        "below_minimum",
        "currency_required",
    ),
):
    """Pay out what is available to a seller, or a part of it.

    A payout that Stripe refuses has the status `failed`, and its amount is available again.
    """

    customer: Seller
    amount: Money | PositiveCount | None = Field(
        default=None,
        description="Amount with its currency, or in minor units of `currency`; absent: all there is.",
    )
    currency: Currency | None = Field(
        default=None, description="Of which currency, if the amount names none and several are available."
    )
    reference: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="Caller's reference; stored here and in Stripe."
    )

    @model_validator(mode="after")
    def _valid_amount(self) -> "PayOut":
        if not isinstance(self.amount, Money):
            return self
        if self.amount.amount < 1:
            raise ValueError("amount must be positive")
        if self.currency not in (None, self.amount.currency):
            raise ValueError("currency contradicts the amount")
        return self


class ListPayouts(Page, Question[PayoutPage], service=SERVICE):
    """List payouts, newest first."""

    customer: Seller | None = None
    status: PayoutStatus | None = None


class PayoutEvent(Event, service=SERVICE, entity="payout", names=("created", "paid", "failed", "reversed")):
    """A payout was made, reached the seller's Stripe account, was refused, or was taken back."""

    payout: PayoutSnapshot
