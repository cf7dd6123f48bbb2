"""Subscriptions whose periods no payment provider moves: how they start, go on, pause and end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from services.subscriptions.domain.billing_periods import period_containing
from services.subscriptions.domain.catalog_lookup import CatalogLookup, build_item
from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import SubscriptionItem


def initial_state(
    catalog: CatalogLookup, lines: Sequence[Line], start: datetime, trial_days: int = 0
) -> State:
    """A subscription to some lines whose first period, or trial, begins at `start`."""
    items = tuple(build_item(catalog, line.price, line.quantity) for line in lines)
    if trial_days:
        trial_end = start + timedelta(days=trial_days)
        return State("trialing", "none", items, start, trial_end, trial_end=trial_end)
    return State("active", "none", items, *period_containing(start, lines[0].price.interval, start))


def initial_anchor(state: State) -> datetime | None:
    """From where the periods of a subscription that has just started are counted: the trial comes before."""
    return state.trial_end or state.current_period_start


def advance_period(
    state: State, catalog: CatalogLookup, anchor: datetime, interval: str, at: datetime
) -> State:
    """The state at a moment after the period's end: ended if that was asked for, else in the period it is in.

    However many periods went by, it is renewed once. After a trial the first paid period begins; nobody here
    collects, so nobody can be without a payment method.
    """
    if state.cancel_at_period_end:
        return canceled(state, at=state.current_period_end or at)
    start, end = period_containing(anchor, cast(Interval, interval), at)
    items = tuple(with_current_terms(catalog, item) for item in state.items)
    return replace(state, status="active", items=items, current_period_start=start, current_period_end=end)


def canceled(state: State, *, at: datetime) -> State:
    """The state after the end."""
    return replace(
        state,
        status="canceled",
        cancel_at_period_end=False,
        canceled_at=state.canceled_at or at,
        ended_at=at,
        scheduled_change=None,
    )


def canceling(state: State, *, now: datetime) -> State:
    """The state after it was asked to end with its period; what was to change then, no longer is."""
    return replace(state, cancel_at_period_end=True, canceled_at=now, scheduled_change=None)


def reactivated(state: State) -> State:
    """The state after it was asked to go on after all."""
    return replace(state, cancel_at_period_end=False, canceled_at=None)


def paused(state: State) -> State:
    """The state while nothing is given and no period begins."""
    return replace(state, status="paused")


def resumed(state: State, catalog: CatalogLookup, anchor: datetime, interval: str, at: datetime) -> State:
    """The state after a pause: back where it was, or in the period that has come meanwhile."""
    if state.current_period_end is not None and state.current_period_end <= at:
        return advance_period(state, catalog, anchor, interval, at)
    in_trial = state.trial_end is not None and at < state.trial_end
    return replace(state, status="trialing" if in_trial else "active")


def with_current_terms(catalog: CatalogLookup, item: SubscriptionItem) -> SubscriptionItem:
    """The item as the catalog sells it now."""
    price = catalog.price(item.price) if item.price is not None else None
    return item if price is None else build_item(catalog, price, item.quantity)
