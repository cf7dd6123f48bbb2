"""Plan changes of self-managed subscriptions, which have no Stripe object: now, and at the period's end."""

from dataclasses import replace
from datetime import datetime

from services.subscriptions.domain.billing_periods import BillingInterval, billing_interval, period_containing
from services.subscriptions.domain.catalog_lookup import CatalogLookup, build_item
from services.subscriptions.domain.plan_changes import PlanChange, find_plan_item
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.subscriptions import ScheduledChange


def apply_change_now(state: State, catalog: CatalogLookup, change: PlanChange, now: datetime) -> State:
    """Return the state after a change made now; periods of another length start anew, except in a trial."""
    items = tuple(
        build_item(catalog, change.price, change.quantity) if item == change.item else item
        for item in state.items
    )
    after = replace(state, items=items, scheduled_change=None)
    if not change.is_restart or state.status == "trialing":
        return after
    start, end = period_containing(now, change.every, now)
    return replace(after, current_period_start=start, current_period_end=end)


def with_scheduled_change(state: State, change: PlanChange) -> State:
    """Return the state with a change scheduled for the end of the period."""
    if state.current_period_end is None:
        raise ValueError("a subscription without a period has no end of it")
    waiting = ScheduledChange(
        product=change.product.code,
        price=change.price.code,
        quantity=change.quantity,
        at=state.current_period_end,
    )
    return replace(state, scheduled_change=waiting)


def apply_scheduled_change(
    state: State, catalog: CatalogLookup, anchor: datetime, every: BillingInterval, at: datetime
) -> tuple[State, datetime, BillingInterval]:
    """Apply the scheduled change if it is due; return the state, the anchor and the period's length.

    The period itself is not advanced. A subscription that is set to cancel does not change.
    """
    waiting = state.scheduled_change
    price = catalog.price(waiting.price) if waiting is not None and waiting.price is not None else None
    if waiting is None or price is None or waiting.at > at or state.cancel_at_period_end:
        return state, anchor, every
    replaced = find_plan_item(catalog, state, waiting.price)
    items = tuple(
        build_item(catalog, price, waiting.quantity) if item is replaced else item for item in state.items
    )
    after = replace(state, items=items, scheduled_change=None)
    following = billing_interval(price)
    return (after, anchor, every) if following == every else (after, waiting.at, following)
