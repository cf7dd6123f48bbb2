"""Mapping Stripe's subscription to a state of ours."""

from datetime import datetime
from typing import cast, get_args

from services.subscriptions.domain.catalog_lookup import (
    CatalogLookup,
    build_custom_price_item,
    build_item,
    build_unknown_product_item,
)
from services.subscriptions.domain.stripe_objects import (
    Malformed,
    StripeItem,
    StripePhase,
    StripeSubscription,
)
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import (
    FINAL_STATUSES,
    CustomPrice,
    ScheduledChange,
    Status,
    SubscriptionItem,
)

PAUSABLE: frozenset[Status] = frozenset({"active", "trialing", "past_due", "unpaid"})
"""Statuses that a pause of collection hides: nothing is collected, whatever was owed before."""
_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)} | {
    "incomplete_expired": "expired"
}


def state_from_stripe(
    subscription: StripeSubscription, catalog: CatalogLookup, before: State | None = None
) -> State:
    """Return the state of Stripe's subscription; what Stripe does not have comes from `before`.

    Raises Malformed for an unknown status.
    """
    status = _status(subscription)
    if status == "past_due" and before is not None and before.status == "unpaid":
        # Stripe has no API to mark a past-due subscription as unpaid, so our status is kept.
        status = "unpaid"
    is_final = status in FINAL_STATUSES
    return State(
        status=status,
        collection="invoice" if subscription.sends_invoice else "automatic",
        items=tuple(_item(item, catalog) for item in subscription.items),
        current_period_start=subscription.current_period_start,
        current_period_end=subscription.current_period_end,
        trial_end=subscription.trial_end,
        cancel_at_period_end=not is_final and _ends_with_period(subscription),
        cancel_at=None if is_final else _other_end(subscription),
        canceled_at=subscription.canceled_at,
        ended_at=(subscription.ended_at or subscription.canceled_at) if is_final else None,
        scheduled_change=None if is_final else _scheduled_change(subscription, catalog, before),
    )


def _status(subscription: StripeSubscription) -> Status:
    status = _STATUSES.get(subscription.status)
    if status is None:
        raise Malformed(f"{subscription.status!r} is not a status of a subscription")
    if status == "canceled" and _ended_with_trial(subscription):
        return "expired"
    if subscription.collection_is_paused and status in PAUSABLE:
        return "paused"
    return status


def _ended_with_trial(subscription: StripeSubscription) -> bool:
    """Whether it ended with its trial, and nobody canceled it: no payment method was added."""
    ended_at, canceled_at = subscription.ended_at, subscription.canceled_at
    if subscription.cancel_at_period_end or subscription.cancel_at is not None:
        return False
    if ended_at is None or ended_at != subscription.trial_end:
        return False
    # Stripe states the end itself as `canceled_at` if nobody canceled before.
    return canceled_at is None or canceled_at >= ended_at


def _scheduled_change(
    subscription: StripeSubscription, catalog: CatalogLookup, before: State | None
) -> ScheduledChange | None:
    """Return the next change of the schedule to another price, of the catalog or not, or another quantity."""
    if subscription.schedule_id is None or subscription.phases is None:
        return _pending_change(subscription, before)
    present = {(item.stripe_price_id, item.quantity) for item in subscription.items}
    start = subscription.current_period_start
    changed = (
        _change_to(_item(item, catalog), phase)
        for phase in subscription.phases
        if start is None or phase.start > start
        for item in phase.items
        if (item.stripe_price_id, item.quantity) not in present
    )
    return next(changed, None)


def _change_to(item: SubscriptionItem, phase: StripePhase) -> ScheduledChange:
    return ScheduledChange(
        product=item.product,
        price=item.price,
        quantity=item.quantity,
        at=phase.start,
        custom_price=item.custom_price,
    )


def _pending_change(subscription: StripeSubscription, before: State | None) -> ScheduledChange | None:
    """Return the scheduled change unless Stripe has applied it or released its schedule."""
    if before is None or before.scheduled_change is None or subscription.schedule_id is None:
        return None
    start = subscription.current_period_start
    is_over = start is not None and start >= before.scheduled_change.at
    return None if is_over else before.scheduled_change


def _ends_with_period(subscription: StripeSubscription) -> bool:
    if subscription.cancel_at_period_end:
        return True
    # Newer API versions set a date instead of the flag; staff may set any date.
    return (
        subscription.cancel_at is not None
        and subscription.current_period_end is not None
        and subscription.cancel_at <= subscription.current_period_end
    )


def _other_end(subscription: StripeSubscription) -> datetime | None:
    """Return the date on which it is set to end, unless that is the end of the period."""
    if subscription.cancel_at_period_end or subscription.cancel_at == subscription.current_period_end:
        return None
    return subscription.cancel_at


def _item(item: StripeItem, catalog: CatalogLookup) -> SubscriptionItem:
    price = catalog.price_by_stripe_id(item.stripe_price_id)
    if price is None and item.lookup_key is not None:
        price = catalog.price(item.lookup_key)
    if price is None:
        return _custom_price_item(item, catalog)
    return build_item(catalog, price, item.quantity).model_copy(
        update={"stripe_price_id": item.stripe_price_id}
    )


def _custom_price_item(item: StripeItem, catalog: CatalogLookup) -> SubscriptionItem:
    """Build the item for a price that the catalog does not have: it belongs to its Stripe product."""
    product = catalog.product_by_stripe_id(item.stripe_product_id) if item.stripe_product_id else None
    custom_price = _custom_price(item)
    if product is None:
        return build_unknown_product_item(item.stripe_price_id, item.quantity, custom_price)
    return build_custom_price_item(catalog, product, item.quantity, item.stripe_price_id, custom_price)


def _custom_price(item: StripeItem) -> CustomPrice | None:
    price = item.recurring
    if price is None:
        return None
    return CustomPrice(
        unit_amount=price.unit_amount,
        currency=price.currency,
        interval=cast(Interval, price.interval),
        interval_count=price.interval_count,
    )
