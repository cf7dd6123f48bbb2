"""Projection of subscriptions: what is sold now."""

from typing import Any

from services.monitoring.service import service
from services.monitoring.tables import KnownSubscription
from shared.messaging.feed_consumer import keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s

CUSTOM_PRODUCT = "custom"
"""Stands for products that are not in the catalog."""


@service.event(s.SubscriptionEvent, name="follow_subscriptions", together=True)
async def follow_subscriptions(work: UnitOfWork, events: list[s.SubscriptionEvent]) -> None:
    """Project subscriptions."""
    await keep_newest_of(work, KnownSubscription, [_row(event.subscription) for event in events])


def _row(subscription: s.SubscriptionSnapshot) -> dict[str, Any]:
    unlimited = {
        feature.feature
        for item in subscription.items
        for feature in item.features
        if feature.kind != "flag" and feature.quantity is None
    }
    products = [item.product for item in subscription.items]
    return {
        "subscription_id": subscription.subscription_id,
        "version": subscription.version,
        "customer": subscription.customer.token,
        "status": subscription.status,
        "product": (products[0] if products else None) or CUSTOM_PRODUCT,
        "unlimited": sorted(unlimited),
    }
