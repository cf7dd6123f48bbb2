"""What is late: how long an overdue customer keeps everything, and when that is over."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.subscriptions.domain.subscription import State

GRACE_DAYS = 7
"""Long enough for an expired card to be replaced, unless the installation says otherwise."""


def with_grace(before: State | None, after: State, *, since: datetime, days: int) -> State:
    """The later state with its grace: `days` from the moment `since` which it became overdue.

    Who was overdue before keeps the grace that was given then: further failed attempts do not prolong it.
    """
    if after.status != "past_due" or (before is not None and before.grace_until is not None):
        return after
    return replace(after, grace_until=since + timedelta(days=days))


def restricted(state: State, at: datetime) -> State:
    """The state once grace is over: features are gone until the customer pays, nothing else is lost."""
    is_over = state.status == "past_due" and state.grace_until is not None and state.grace_until <= at
    return replace(state, restricted=True) if is_over else state
