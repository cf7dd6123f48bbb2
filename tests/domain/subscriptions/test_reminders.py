"""Which reminders are sent, and when."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.subscriptions.domain.reminders import (
    CardExpiry,
    has_expired,
    renewal_is_near,
    trial_is_ending,
)
from services.subscriptions.domain.subscription_state import State

JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
TRIAL_END = datetime(2026, 1, 15, 12, tzinfo=UTC)
TRIAL = State("trialing", "automatic", (), JANUARY, TRIAL_END, trial_end=TRIAL_END)
ACTIVE = State("active", "automatic", (), JANUARY, FEBRUARY)


@pytest.mark.parametrize(
    ("at", "is_near"),
    [
        (datetime(2026, 1, 12, 11, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 12, 12, tzinfo=UTC), True),
        (datetime(2026, 1, 15, 11, tzinfo=UTC), True),
        (TRIAL_END, False),
    ],
)
def test_a_trial_is_announced_three_days_before_its_end(at: datetime, is_near: bool) -> None:
    assert trial_is_ending(TRIAL, at) == (TRIAL_END if is_near else None)


@pytest.mark.parametrize(
    ("at", "is_near"),
    [
        (datetime(2026, 1, 24, 23, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 25, tzinfo=UTC), True),
        (FEBRUARY, False),
    ],
)
def test_a_renewal_is_announced_seven_days_before(at: datetime, is_near: bool) -> None:
    assert renewal_is_near(ACTIVE, at) == (FEBRUARY if is_near else None)


@pytest.mark.parametrize(
    "state",
    [
        replace(ACTIVE, cancel_at_period_end=True),
        replace(ACTIVE, status="past_due"),
        replace(ACTIVE, status="paused"),
        replace(ACTIVE, current_period_end=datetime(2026, 1, 8, tzinfo=UTC)),
    ],
)
def test_no_reminder_of_weekly_or_absent_renewals(state: State) -> None:
    assert renewal_is_near(state, datetime(2026, 1, 7, tzinfo=UTC)) is None


def test_a_trial_that_will_not_go_on_is_not_announced() -> None:
    assert (
        trial_is_ending(replace(TRIAL, cancel_at_period_end=True), datetime(2026, 1, 14, tzinfo=UTC)) is None
    )


@pytest.mark.parametrize(
    ("expiry", "at", "is_over"),
    [
        (CardExpiry(2026, 1), datetime(2026, 1, 31, 23, 59, tzinfo=UTC), False),
        (CardExpiry(2026, 1), datetime(2026, 2, 1, tzinfo=UTC), True),
        (CardExpiry(2025, 12), datetime(2025, 12, 31, tzinfo=UTC), False),
        (CardExpiry(2025, 12), datetime(2026, 1, 1, tzinfo=UTC), True),
    ],
)
def test_a_card_is_good_until_its_last_month_is_over(expiry: CardExpiry, at: datetime, is_over: bool) -> None:
    assert has_expired(expiry, at) is is_over
