"""What customers are told before it happens: the end of a trial, and a renewal."""

from datetime import datetime, timedelta

from services.subscriptions.domain.subscription import State

TRIAL_NOTICE = timedelta(days=3)
"""Before a trial ends: as early as Stripe says so, time enough to give a card or to cancel."""
RENEWAL_NOTICE = timedelta(days=7)
"""Before a period ends that will be followed by another."""


def trial_is_ending(state: State, at: datetime) -> datetime | None:
    """The end of a trial that is near, None where there is none; a trial that will not go on is no news."""
    if state.status != "trialing" or state.trial_end is None or state.cancel_at_period_end:
        return None
    return state.trial_end if at < state.trial_end <= at + TRIAL_NOTICE else None


def renewal_is_near(state: State, at: datetime) -> datetime | None:
    """The end of a paid period that is near, None where it is not or where nothing follows.

    Periods no longer than the notice would be announced all the time, and are not.
    """
    start, end = state.current_period_start, state.current_period_end
    if state.status != "active" or state.cancel_at_period_end or start is None or end is None:
        return None
    if end - start <= RENEWAL_NOTICE:
        return None
    return end if at < end <= at + RENEWAL_NOTICE else None
