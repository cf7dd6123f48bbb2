"""When reminders are due: a trial that ends, a renewal, and a card that expires before its next charge."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.subscriptions.domain.subscription_state import State

TRIAL_NOTICE = timedelta(days=3)
"""Notice before a trial ends: Stripe's own notice, and enough to add a card or to cancel."""
RENEWAL_NOTICE = timedelta(days=7)
"""Notice before a period ends that is followed by another."""
CARD_NOTICE = timedelta(days=14)
"""Notice before a charge to a card that will have expired: a new card comes by post."""


class CardExpiry(NamedTuple):
    """The last month in which a card is valid, 1 to 12."""

    year: int
    month: int


def has_expired(expiry: CardExpiry, at: datetime) -> bool:
    """Whether a card has expired at a moment; it is valid until its last month is over."""
    end = datetime(expiry.year + expiry.month // 12, expiry.month % 12 + 1, 1, tzinfo=UTC)
    return at >= end


def trial_is_ending(state: State, at: datetime) -> datetime | None:
    """Return the end of a trial that is near; None without one, or if the subscription ends with it."""
    if state.status != "trialing" or state.trial_end is None or state.cancel_at_period_end:
        return None
    return state.trial_end if at < state.trial_end <= at + TRIAL_NOTICE else None


def renewal_is_near(state: State, at: datetime) -> datetime | None:
    """Return the end of a paid period that is near and renews, else None.

    Periods no longer than the notice get no reminders, because they would get one all the time.
    """
    start, end = state.current_period_start, state.current_period_end
    if state.status != "active" or state.cancel_at_period_end or start is None or end is None:
        return None
    if end - start <= RENEWAL_NOTICE:
        return None
    return end if at < end <= at + RENEWAL_NOTICE else None
