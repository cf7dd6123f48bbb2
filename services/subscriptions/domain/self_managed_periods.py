"""Periods of self-managed subscriptions, which have no Stripe object: start, renewal, pause and end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.subscriptions.domain.billing_periods import (
    BillingInterval,
    billing_interval,
    period_containing,
)
from services.subscriptions.domain.catalog_lookup import CatalogLookup, build_item
from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.subscriptions import SubscriptionItem


def initial_state(
    catalog: CatalogLookup, lines: Sequence[Line], start: datetime, trial_days: int = 0
) -> State:
    """Return the state of a new subscription whose first period, or trial, begins at `start`."""
    items = tuple(build_item(catalog, line.price, line.quantity) for line in lines)
    if trial_days:
        trial_end = start + timedelta(days=trial_days)
        return State("trialing", "none", items, start, trial_end, trial_end=trial_end)
    return State("active", "none", items, *period_containing(start, billing_interval(lines[0].price), start))


def initial_anchor(state: State) -> datetime | None:
    """Return the moment from which a new subscription's periods are counted: the end of its trial."""
    return state.trial_end or state.current_period_start


def advance_period(
    state: State, catalog: CatalogLookup, anchor: datetime, every: BillingInterval, at: datetime
) -> State:
    """Return the state after the period's end: canceled if that was requested, else renewed.

    However many periods have passed, it is renewed once. A trial is followed by the first paid period:
    payments are collected outside, so no payment method can be missing.
    """
    if state.cancel_at_period_end:
        return canceled(state, at=state.current_period_end or at)
    start, end = period_containing(anchor, every, at)
    items = tuple(with_current_terms(catalog, item) for item in state.items)
    return replace(state, status="active", items=items, current_period_start=start, current_period_end=end)


def canceled(state: State, *, at: datetime) -> State:
    """Return the state after the end."""
    return replace(
        state,
        status="canceled",
        cancel_at_period_end=False,
        canceled_at=state.canceled_at or at,
        ended_at=at,
        scheduled_change=None,
    )


def canceling(state: State, *, now: datetime) -> State:
    """Return the state that cancels with its period; a scheduled change is dropped."""
    return replace(state, cancel_at_period_end=True, canceled_at=now, scheduled_change=None)


def reactivated(state: State) -> State:
    """Return the state after a cancellation was revoked."""
    return replace(state, cancel_at_period_end=False, canceled_at=None)


def paused(state: State) -> State:
    """Return the state during a pause: no features are granted and no period begins."""
    return replace(state, status="paused")


def resumed(
    state: State, catalog: CatalogLookup, anchor: datetime, every: BillingInterval, at: datetime
) -> State:
    """Return the state after a pause: in the same period or, if that is over, in the present one."""
    if state.current_period_end is not None and state.current_period_end <= at:
        return advance_period(state, catalog, anchor, every, at)
    in_trial = state.trial_end is not None and at < state.trial_end
    return replace(state, status="trialing" if in_trial else "active")


def with_current_terms(catalog: CatalogLookup, item: SubscriptionItem) -> SubscriptionItem:
    """Return the item with the features and seat rules that the catalog has now."""
    price = catalog.price(item.price) if item.price is not None else None
    return item if price is None else build_item(catalog, price, item.quantity)
