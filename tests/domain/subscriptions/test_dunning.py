"""Grace periods: when they start, that there is one per failure, and what their end restricts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.domain.dunning import (
    collection_has_ended,
    mark_unpaid,
    restricted,
    with_grace,
    with_recounted_grace,
)
from services.subscriptions.domain.entitlements import compute_entitlements
from services.subscriptions.domain.subscription_state import State, changes
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
    assert compute_entitlements({"sub_1": IN_GRACE})["orders"].quantity == 100
    assert compute_entitlements({"sub_1": change.state}) == {}


def test_paying_late_restores_everything() -> None:
    over = restricted(IN_GRACE, WEEK_AFTER)

    [change] = changes(over, ACTIVE)

    assert (change.event, change.state.restricted, change.state.grace_until) == ("recovered", False, None)
    assert compute_entitlements({"sub_1": change.state})["orders"].quantity == 100


def test_a_repeated_overdue_state_lifts_no_restriction() -> None:
    over = restricted(IN_GRACE, WEEK_AFTER)

    assert changes(over, with_grace(over, LATE, since=WEEK_AFTER, days=7)) == []


def test_running_out_of_retries_keeps_what_was_told() -> None:
    [change] = changes(IN_GRACE, replace(LATE, status="unpaid"))

    assert (change.event, change.state.status, change.state.grace_until) == ("updated", "unpaid", WEEK_AFTER)
    assert compute_entitlements({"sub_1": change.state}) == {}


def test_grace_restarts_once_the_first_failure_is_known() -> None:
    early = replace(LATE, grace_until=WEEK_AFTER - timedelta(hours=1))

    assert with_recounted_grace(early, [FAILED], [FAILED], days=7).grace_until == WEEK_AFTER


def test_grace_from_a_failure_is_never_prolonged_by_another() -> None:
    again = FAILED + timedelta(days=3)

    assert with_recounted_grace(IN_GRACE, [FAILED, again], [again], days=7) == IN_GRACE
    assert with_recounted_grace(IN_GRACE, [FAILED, again], [FAILED, again], days=7) == IN_GRACE


@pytest.mark.parametrize("state", [ACTIVE, LATE, replace(IN_GRACE, restricted=True)])
def test_only_grace_that_runs_is_counted_again(state: State) -> None:
    assert with_recounted_grace(state, [FAILED], [FAILED], days=7) == state


RETRIED = {"status": "open", "collection_method": "charge_automatically", "attempt_count": 4}
SENT = {"status": "open", "collection_method": "send_invoice", "due_date": int(FEBRUARY.timestamp())}


@pytest.mark.parametrize(
    ("invoice", "is_over"),
    [
        ({**RETRIED, "next_payment_attempt": None}, True),
        ({**RETRIED, "next_payment_attempt": 1_800_000_000}, False),
        ({**RETRIED, "attempt_count": 0, "next_payment_attempt": None}, False),
        ({**RETRIED, "status": "paid", "next_payment_attempt": None}, False),
        ({**RETRIED, "status": "uncollectible"}, True),
        (SENT, True),
        ({**SENT, "due_date": int(FEBRUARY.timestamp()) + 1}, False),
        ({**SENT, "due_date": None}, False),
    ],
)
def test_an_invoice_is_given_up_when_nobody_tries_any_more(invoice: dict[str, Any], is_over: bool) -> None:
    # Thirty days after 1 February; a sent invoice is not tried, but waited for.
    assert collection_has_ended(invoice, datetime(2026, 3, 3, tzinfo=UTC)) is is_over


def test_who_is_given_up_is_unpaid_and_who_has_paid_is_not() -> None:
    assert mark_unpaid(IN_GRACE).status == "unpaid"
    assert mark_unpaid(ACTIVE) == ACTIVE
