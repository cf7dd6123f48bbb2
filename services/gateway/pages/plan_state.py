"""What a preview of a change was made for: the state of the subscription, and how the change is charged."""

import hashlib

from tallystick.messages import subscriptions as m

DEFAULT_WHEN: m.When = "period_end"
"""The time of a change whose preview names none, because it is scheduled already."""
PREVIEWED_FIELDS = {
    "subscription_id",
    "items",
    "current_period_end",
    "cancel_at_period_end",
    "cancel_at",
    "scheduled_change",
}


def state_fingerprint(subscription: m.SubscriptionSnapshot) -> str:
    """Return a fingerprint of the fields that a preview depends on, short enough for a form."""
    state = subscription.model_dump_json(include=PREVIEWED_FIELDS)
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def proration_for(when: str) -> m.Proration:
    """Return the proration of a change: one that is made now is invoiced now, as the preview shows."""
    return "invoice" if when == "now" else "none"


def has_price(subscription: m.SubscriptionSnapshot, price: str) -> bool:
    """Return whether the subscription has or will have a price, because the form was sent twice."""
    scheduled = subscription.scheduled_change
    return any(item.price == price for item in subscription.items) or (
        scheduled is not None and scheduled.price == price
    )
