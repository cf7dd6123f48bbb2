"""Commands that pause, resume and reactivate a subscription."""

from tallystick.messages.base import Command, EntityId
from tallystick.messages.subscriptions.subscriptions import SubscriptionFound
from tallystick.messages.subscriptions.types import SERVICE


class ReactivateSubscription(
    Command[SubscriptionFound],
    service=SERVICE,
    rejections=("subscription_not_canceling", "subscription_ended"),
):
    """Undo a cancellation at the end of the period."""

    subscription_id: EntityId


class PauseSubscription(Command[SubscriptionFound], service=SERVICE, rejections=("subscription_not_active",)):
    """Pause a subscription: no charges and no access until it is resumed."""

    subscription_id: EntityId


class ResumeSubscription(
    Command[SubscriptionFound], service=SERVICE, rejections=("subscription_not_paused",)
):
    """Resume a paused subscription; charges start again from now on."""

    subscription_id: EntityId
