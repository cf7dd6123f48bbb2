"""Notifications about subscriptions."""

from typing import Any

from services.notifications.domain.drafts import Draft
from tallystick.messages.notifications import Kind
from tallystick.messages.subscriptions import PaymentLinkEvent, SubscriptionEvent, SubscriptionSnapshot

STARTED = frozenset({"trialing", "active"})
STARTING_EVENTS = frozenset({"created", "activated", "trialStarted"})
ENDING_EVENTS = frozenset({"canceled", "expired"})
KINDS_OF_EVENTS: dict[str, Kind] = {
    "changed": "subscription_changed",
    "changeScheduled": "subscription_changed",
    "cancelScheduled": "cancel_scheduled",
    "trialEnding": "trial_ending",
    "renewalUpcoming": "renewal_upcoming",
    "cardExpiring": "card_expiring",
    "restricted": "access_restricted",
    "recovered": "payment_recovered",
}
"""Events that are each worth a notification of their own."""


def subscription_drafts(name: str, event: SubscriptionEvent, *, was_started: bool) -> list[Draft]:
    """Return the notifications of a subscription's event.

    A checkout that was never paid ends without a word, because nothing had started.
    """
    subscription = event.subscription
    token = subscription.customer.token
    facts = _facts(subscription)
    if name in STARTING_EVENTS and subscription.status in STARTED:
        # Only one of these events tells that it started; a trial that becomes paid is no second start.
        return [Draft("subscription_started", subscription.subscription_id, token, token, facts)]
    if name in ENDING_EVENTS and was_started:
        return [Draft("subscription_ended", subscription.subscription_id, token, token, facts)]
    kind = KINDS_OF_EVENTS.get(name)
    if kind is None:
        return []
    return [Draft(kind, event.event_id, token, token, facts | _own_facts(name, subscription))]


def link_drafts(event: PaymentLinkEvent) -> list[Draft]:
    """Return the notification of a payment through a link that is given back.

    It takes the place of the one about the subscription's end, which could not say why.
    """
    use = event.use
    if use is None or use.outcome != "refunded" or use.subscription_id is None:
        return []
    token = use.customer.token
    facts = {"subscription_id": use.subscription_id, "given_back": use.reason}
    return [Draft("subscription_ended", use.subscription_id, token, token, facts)]


def has_started(subscription: SubscriptionSnapshot) -> bool:
    """Whether a subscription has begun: it was more than a checkout that waits for its payment."""
    return subscription.status not in ("incomplete", "expired")


def plan_of(subscription: SubscriptionSnapshot) -> str | None:
    """Return the product code of a subscription's plan, which is its first item."""
    return subscription.items[0].product if subscription.items else None


def _facts(subscription: SubscriptionSnapshot) -> dict[str, Any]:
    item = subscription.items[0] if subscription.items else None
    return {
        "subscription_id": subscription.subscription_id,
        "product": plan_of(subscription),
        "seats": item.quantity if item and item.seats else None,
        "trial_end": _moment(subscription.trial_end) if subscription.status == "trialing" else None,
        "renews": _moment(subscription.current_period_end) if not subscription.cancel_at_period_end else None,
        "charged": _moment(subscription.current_period_end),
        "ends": _moment(subscription.cancel_at or subscription.current_period_end),
        "ended": _moment(subscription.ended_at),
    }


def _own_facts(name: str, subscription: SubscriptionSnapshot) -> dict[str, Any]:
    change = subscription.scheduled_change
    if name == "changeScheduled" and change is not None:
        seats = change.quantity if any(item.seats for item in subscription.items) else None
        return {"product": change.product, "seats": seats, "takes_effect": _moment(change.at)}
    return {}


def _moment(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None
