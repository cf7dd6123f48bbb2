"""Subscriptions as they stand, and what is told and asked about them."""

from typing import Literal

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Code,
    Command,
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    Text,
    Told,
)
from tallystick.messages.catalog import FeatureKind, ProductFeature, SeatRule
from tallystick.messages.subscriptions.types import SERVICE, Collection, Status


class ItemFeature(ProductFeature):
    """What an item gives of one feature, as the catalog had it when the item's period began."""

    kind: FeatureKind


class SubscriptionItem(Told):
    """One line of a subscription. All that others need to know of the catalog to act alone is copied in."""

    product: Code | None = Field(
        description="Null: bought in Stripe at a price that our catalog does not know."
    )
    price: Code | None = Field(description="Null together with `product`.")
    quantity: Count = Field(description="How many were bought; seats, on products that have them.")
    seats: SeatRule | None
    features: list[ItemFeature]
    stripe_price_id: str | None = Field(default=None, description="Null on free prices.")


class ScheduledChange(Told):
    """A change that waits for the end of the period."""

    product: Code
    price: Code
    quantity: Count
    at: Instant


class SubscriptionSnapshot(Told):
    """A subscription as it stands."""

    subscription_id: EntityId
    version: PositiveCount
    customer: Customer
    status: Status
    collection: Collection
    items: list[SubscriptionItem]
    current_period_start: Instant | None
    current_period_end: Instant | None
    trial_end: Instant | None = Field(description="When the trial ends or ended; null: there was none.")
    cancel_at_period_end: bool
    canceled_at: Instant | None = Field(description="When the end was asked for; null while none is.")
    ended_at: Instant | None = Field(description="When it became `canceled` or `expired`.")
    grace_until: Instant | None = Field(description="Until when an overdue customer keeps everything.")
    restricted: bool = Field(
        default=False, description="Grace is over: nothing may be used until what is owed is paid."
    )
    scheduled_change: ScheduledChange | None
    stripe_subscription_id: str | None = Field(description="Null: it has no Stripe object.")
    created_at: Instant


class SubscriptionFound(Told):
    """A subscription, as changed or as asked for."""

    subscription: SubscriptionSnapshot


class SubscriptionPage(Told):
    """A page of subscriptions, newest first."""

    items: list[SubscriptionSnapshot]
    next_cursor: str | None = None


class CancelSubscription(Command[SubscriptionFound], service=SERVICE, rejections=("subscription_ended",)):
    """End a subscription, at once or when its period ends."""

    subscription_id: EntityId
    at: Literal["period_end", "now"]
    reason: Text | None = Field(default=None, description="Kept in the audit trail and in Stripe.")


class GetSubscription(Question[SubscriptionFound], service=SERVICE, rejections=("not_found",)):
    """One subscription; of a customer: the newest that has not ended, else the newest."""

    subscription_id: EntityId | None = None
    customer: Customer | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "GetSubscription":
        if (self.subscription_id is None) == (self.customer is None):
            raise ValueError("give either subscription_id or customer")
        return self


class ListSubscriptions(Page, Question[SubscriptionPage], service=SERVICE):
    """Subscriptions, newest first."""

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
    """A subscription changed; `updated` is for what has no name of its own, such as a trial prolonged."""

    subscription: SubscriptionSnapshot
