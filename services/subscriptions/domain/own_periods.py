"""Subscriptions whose periods no payment provider moves: how they start, go on and end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.periods import period_containing
from services.subscriptions.domain.shelf import Shelf, item_of
from services.subscriptions.domain.subscription import State
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import SubscriptionItem


def started(shelf: Shelf, lines: Sequence[Line], now: datetime) -> State:
    """A subscription to some lines that begins now, active at once."""
    start, end = period_containing(now, lines[0].price.interval, now)
    return State(
        status="active",
        collection="none",
        items=tuple(item_of(shelf, line.price, line.quantity) for line in lines),
        current_period_start=start,
        current_period_end=end,
    )


def moved_on(state: State, shelf: Shelf, anchor: datetime, interval: str, at: datetime) -> State:
    """The state at a moment after the period's end: ended if that was asked for, else in the period it is in.

    However many periods went by, it is renewed once.
    """
    if state.cancel_at_period_end:
        return canceled(state, at=state.current_period_end or at)
    start, end = period_containing(anchor, cast(Interval, interval), at)
    items = tuple(_with_present_terms(shelf, item) for item in state.items)
    return replace(state, items=items, current_period_start=start, current_period_end=end)


def canceled(state: State, *, at: datetime) -> State:
    """The state after the end."""
    return replace(
        state,
        status="canceled",
        cancel_at_period_end=False,
        canceled_at=state.canceled_at or at,
        ended_at=at,
    )


def canceling(state: State, *, now: datetime) -> State:
    """The state after it was asked to end with its period."""
    return replace(state, cancel_at_period_end=True, canceled_at=now)


def _with_present_terms(shelf: Shelf, item: SubscriptionItem) -> SubscriptionItem:
    price = shelf.price(item.price) if item.price is not None else None
    return item if price is None else item_of(shelf, price, item.quantity)
