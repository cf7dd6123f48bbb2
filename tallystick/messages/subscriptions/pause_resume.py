"""Commands that keep a subscription, or interrupt it."""

from tallystick.messages.base import Command, EntityId
from tallystick.messages.subscriptions.subscriptions import SubscriptionFound
from tallystick.messages.subscriptions.types import SERVICE


class ReactivateSubscription(
    Command[SubscriptionFound],
    service=SERVICE,
    rejections=("subscription_not_canceling", "subscription_ended"),
):
    """Let a subscription go on that was to end with its period."""

    subscription_id: EntityId


class PauseSubscription(Command[SubscriptionFound], service=SERVICE, rejections=("subscription_not_active",)):
    """Interrupt a subscription: nothing is charged and nothing may be used until it is resumed."""

    subscription_id: EntityId


class ResumeSubscription(
    Command[SubscriptionFound], service=SERVICE, rejections=("subscription_not_paused",)
):
    """End a pause; what is due from then on is charged again."""

    subscription_id: EntityId
