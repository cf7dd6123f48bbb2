"""Subscriptions: snapshots, commands, questions and events."""

from typing import Literal

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Code,
    Command,
    Count,
    Currency,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    Text,
    TolerantModel,
)
from tallystick.messages.catalog import FeatureKind, Interval, LicenseRule, ProductFeature, SeatRule
from tallystick.messages.subscriptions.cancellations import CancellationPreview
from tallystick.messages.subscriptions.types import SERVICE, Collection, Status


class ItemFeature(ProductFeature):
    """Feature that an item includes, as in the catalog when the item's period began."""

    kind: FeatureKind


class CustomPrice(TolerantModel):
    """Price that was made in Stripe on a product of the catalog, such as a negotiated one."""

    unit_amount: int | None = Field(
        description="Price per unit in minor units; null: it has tiers or parts of a minor unit."
    )
    currency: Currency
    interval: Interval
    interval_count: PositiveCount = Field(description="Intervals in a billing period; 3 months: 3.")


class SubscriptionItem(TolerantModel):
    """Item of a subscription, with a copy of the catalog data that other services need."""

    product: Code | None = Field(description="Product code; null: the Stripe product is not in the catalog.")
    price: Code | None = Field(description="Price code; null: the Stripe price is not in the catalog.")
    quantity: Count = Field(description="Quantity; for products with seats, the number of seats.")
    seats: SeatRule | None
    features: list[ItemFeature]
    stripe_price_id: str | None = Field(default=None, description="Stripe price id; null for free prices.")
    interval: Interval | None = Field(
        default=None,
        description="Unit of the billing period; null: not known, in snapshots of older versions.",
    )
    interval_count: PositiveCount | None = Field(
        default=None, description="Number of intervals in a billing period; every 3 months: 3."
    )
    custom_price: CustomPrice | None = Field(
        default=None, description="Terms of a price that is not in the catalog; null: it is."
    )
    license: LicenseRule | None = Field(
        default=None, description="License settings of the product; null: it needs no license."
    )


class ScheduledChange(TolerantModel):
    """Change scheduled for the end of the period."""

    product: Code | None = Field(description="Product code; null: the Stripe product is not in the catalog.")
    price: Code | None = Field(description="Price code; null: the Stripe price is not in the catalog.")
    quantity: Count
    at: Instant
    custom_price: CustomPrice | None = Field(
        default=None, description="Terms of a Stripe price that is not in the catalog; null otherwise."
    )


class SubscriptionSnapshot(TolerantModel):
    """Snapshot of a subscription."""

    subscription_id: EntityId
    version: PositiveCount
    customer: Customer
    status: Status
    collection: Collection
    items: list[SubscriptionItem]
    current_period_start: Instant | None
    current_period_end: Instant | None
    trial_end: Instant | None = Field(description="End of the trial; null: no trial.")
    cancel_at_period_end: bool = Field(description="Whether it ends in this period: none follows.")
    cancel_at: Instant | None = Field(
        default=None, description="Time at which it is set to end, in this period or later; null: it goes on."
    )
    canceled_at: Instant | None = Field(
        description="Time at which cancellation was requested; null if it was not."
    )
    ended_at: Instant | None = Field(description="Time at which it became `canceled` or `expired`.")
    grace_until: Instant | None = Field(
        description="End of the grace period, in which a past-due customer keeps access."
    )
    restricted: bool = Field(
        default=False, description="The grace period is over: no access until the open invoices are paid."
    )
    scheduled_change: ScheduledChange | None
    stripe_subscription_id: str | None = Field(description="Stripe subscription id; null: not in Stripe.")
    created_at: Instant


class SubscriptionFound(TolerantModel):
    """Subscription after the command, or as queried."""

    subscription: SubscriptionSnapshot


class SubscriptionPage(TolerantModel):
    """Page of subscriptions, newest first."""

    items: list[SubscriptionSnapshot]
    next_cursor: str | None = None


class SubscriptionCanceled(SubscriptionFound):
    """Subscription after its cancellation, and what ends with it."""

    ending: CancellationPreview | None = Field(
        default=None,
        description="What ends when, and what is credited; null: not known.",
    )


class CancelSubscription(Command[SubscriptionCanceled], service=SERVICE, rejections=("subscription_ended",)):
    """Cancel a subscription, immediately or at the end of its period. Add-ons end with the last plan."""

    subscription_id: EntityId
    at: Literal["period_end", "now"]
    reason: Text | None = Field(default=None, description="Stored in the audit trail and in Stripe.")


class GetSubscription(Question[SubscriptionFound], service=SERVICE, rejections=("not_found",)):
    """Get a subscription. For a customer: the newest that has not ended, else the newest."""

    subscription_id: EntityId | None = None
    customer: Customer | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "GetSubscription":
        if (self.subscription_id is None) == (self.customer is None):
            raise ValueError("give either subscription_id or customer")
        return self


class ListSubscriptions(Page, Question[SubscriptionPage], service=SERVICE):
    """List subscriptions, newest first."""

    customer: Customer | None = None
    status: Status | None = None


class SubscriptionEvent(
    Event,
    service=SERVICE,
    entity="subscription",
    names=(
        "created",
        "activated",
        "trialStarted",
        "trialEnding",
        "changed",
        "changeScheduled",
        "renewed",
        "renewalUpcoming",
        "cardExpiring",
        "pastDue",
        "restricted",
        "recovered",
        "paused",
        "resumed",
        "cancelScheduled",
        "reactivated",
        "canceled",
        "expired",
        "updated",
    ),
):
    """A subscription changed; `updated` covers other changes, such as an extended trial."""

    subscription: SubscriptionSnapshot
