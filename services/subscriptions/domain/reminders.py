"""What customers are told before it happens: the end of a trial, a renewal, and that a card will not do."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.subscriptions.domain.subscription_state import State

TRIAL_NOTICE = timedelta(days=3)
"""Before a trial ends: as early as Stripe says so, time enough to give a card or to cancel."""
RENEWAL_NOTICE = timedelta(days=7)
"""Before a period ends that will be followed by another."""
CARD_NOTICE = timedelta(days=14)
"""Before a charge to a card that will have expired: a new one has to come by post."""


class CardExpiry(NamedTuple):
    """The last month in which a card is good, 1 to 12."""

    year: int
    month: int


def has_expired(expiry: CardExpiry, at: datetime) -> bool:
    """Whether a card is good no longer at a moment; it is until its last month is over."""
    end = datetime(expiry.year + expiry.month // 12, expiry.month % 12 + 1, 1, tzinfo=UTC)
    return at >= end


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
