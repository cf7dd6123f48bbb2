"""Grace: when it begins, that it is given once, and what its end takes away."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.subscriptions.domain.dunning import restricted, with_grace
from services.subscriptions.domain.entitlements import entitlements_of
from services.subscriptions.domain.subscription import State, changes
from tallystick.messages.subscriptions import ItemFeature, SubscriptionItem

JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
FAILED = datetime(2026, 2, 1, 1, tzinfo=UTC)
WEEK_AFTER = datetime(2026, 2, 8, 1, tzinfo=UTC)
ORDERS = ItemFeature(feature="orders", quantity=100, every="month", team_allowed=False, kind="consumable")
ACTIVE = State(
    status="active",
    collection="automatic",
    items=(
        SubscriptionItem(product="shop", price="shop_monthly", quantity=1, seats=None, features=[ORDERS]),
    ),
    current_period_start=JANUARY,
    current_period_end=FEBRUARY,
)
LATE = replace(ACTIVE, status="past_due")
IN_GRACE = replace(LATE, grace_until=WEEK_AFTER)


def test_who_becomes_overdue_has_seven_days() -> None:
    assert with_grace(ACTIVE, LATE, since=FAILED, days=7).grace_until == WEEK_AFTER


def test_a_second_failure_does_not_prolong_grace() -> None:
    told = with_grace(IN_GRACE, LATE, since=datetime(2026, 2, 4, tzinfo=UTC), days=7)

    assert changes(IN_GRACE, told) == []


def test_only_who_is_overdue_has_grace() -> None:
    assert with_grace(LATE, ACTIVE, since=FAILED, days=7).grace_until is None


@pytest.mark.parametrize(("at", "is_over"), [(FAILED, False), (WEEK_AFTER, True)])
def test_grace_ends_at_its_moment(at: datetime, is_over: bool) -> None:
    assert restricted(IN_GRACE, at).restricted is is_over


def test_the_end_of_grace_is_told_and_takes_everything_away() -> None:
    [change] = changes(IN_GRACE, restricted(IN_GRACE, WEEK_AFTER))

    assert (change.event, change.state.status, change.state.grace_until) == (
        "restricted",
        "past_due",
        WEEK_AFTER,
    )
    assert entitlements_of({"sub_1": IN_GRACE})["orders"].quantity == 100
    assert entitlements_of({"sub_1": change.state}) == {}


def test_paying_late_restores_everything() -> None:
    over = restricted(IN_GRACE, WEEK_AFTER)

    [change] = changes(over, ACTIVE)

    assert (change.event, change.state.restricted, change.state.grace_until) == ("recovered", False, None)
    assert entitlements_of({"sub_1": change.state})["orders"].quantity == 100


def test_what_stripe_says_again_of_an_overdue_subscription_lifts_nothing() -> None:
    over = restricted(IN_GRACE, WEEK_AFTER)

    assert changes(over, with_grace(over, LATE, since=WEEK_AFTER, days=7)) == []


def test_running_out_of_retries_keeps_what_was_told() -> None:
    [change] = changes(IN_GRACE, replace(LATE, status="unpaid"))

    assert (change.event, change.state.status, change.state.grace_until) == ("updated", "unpaid", WEEK_AFTER)
    assert entitlements_of({"sub_1": change.state}) == {}
