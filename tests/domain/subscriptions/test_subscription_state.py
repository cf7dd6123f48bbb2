"""Events that are emitted for each transition of a subscription's state."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.domain.subscription_state import State, changes
from tallystick.messages.subscriptions import FINAL_STATUSES, ItemFeature, Status, SubscriptionItem

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def item(price: str = "team_monthly", quantity: int = 3, orders: int = 100) -> SubscriptionItem:
    given_orders = ItemFeature(
        feature="orders", quantity=orders, every="month", team_allowed=False, kind="consumable"
    )
    return SubscriptionItem(
        product="team", price=price, quantity=quantity, seats=None, features=[given_orders]
    )


ACTIVE = State(
    status="active",
    collection="automatic",
    items=(item(),),
    current_period_start=JANUARY,
    current_period_end=FEBRUARY,
)


def events(before: State | None, after: State) -> list[str]:
    return [change.event for change in changes(before, after)]


def test_first_seen_active_emits_created_and_activated() -> None:
    told = changes(None, ACTIVE)

    assert [(change.event, change.state.status) for change in told] == [
        ("created", "incomplete"),
        ("activated", "active"),
    ]


def test_first_seen_ended_emits_created_and_canceled() -> None:
    told = changes(None, replace(ACTIVE, status="canceled", canceled_at=JANUARY, ended_at=FEBRUARY))

    assert [change.event for change in told] == ["created", "canceled"]
    assert (told[0].state.ended_at, told[1].state.ended_at) == (None, FEBRUARY)


@pytest.mark.parametrize(
    ("origin", "status", "event"),
    [
        ("incomplete", "active", "activated"),
        ("incomplete", "trialing", "trialStarted"),
        ("incomplete", "expired", "expired"),
        ("trialing", "active", "activated"),
        ("active", "past_due", "pastDue"),
        ("past_due", "active", "recovered"),
        ("unpaid", "active", "recovered"),
        ("past_due", "unpaid", "updated"),
        ("active", "paused", "paused"),
        ("paused", "active", "resumed"),
        ("paused", "trialing", "resumed"),
        ("past_due", "canceled", "canceled"),
        ("trialing", "expired", "expired"),
    ],
)
def test_each_change_of_status_has_its_event(origin: Status, status: Status, event: str) -> None:
    assert events(replace(ACTIVE, status=origin), replace(ACTIVE, status=status)) == [event]


def test_cancelling_at_period_end_and_undoing_it_emit_events() -> None:
    canceling = replace(ACTIVE, cancel_at_period_end=True, canceled_at=JANUARY)

    assert events(ACTIVE, canceling) == ["cancelScheduled"]
    assert events(canceling, ACTIVE) == ["reactivated"]


def test_a_renewal_takes_the_current_terms_of_the_catalog() -> None:
    after = replace(
        ACTIVE, items=(item(orders=500),), current_period_start=FEBRUARY, current_period_end=MARCH
    )

    [renewed] = changes(ACTIVE, after)

    assert renewed.event == "renewed"
    assert renewed.state.items[0].features[0].quantity == 500


def test_a_catalog_edit_removes_nothing_within_a_period() -> None:
    after = replace(ACTIVE, items=(item(orders=1),), cancel_at_period_end=True)

    [scheduled] = changes(ACTIVE, after)

    assert scheduled.event == "cancelScheduled"
    assert scheduled.state.items[0].features[0].quantity == 100


def test_another_quantity_or_price_is_a_change() -> None:
    assert events(ACTIVE, replace(ACTIVE, items=(item(quantity=8),))) == ["changed"]
    assert events(ACTIVE, replace(ACTIVE, items=(item(price="team_yearly"),))) == ["changed"]


def test_a_renewal_tells_the_items_of_the_new_period_and_then_the_change() -> None:
    after = replace(
        ACTIVE, items=(item(quantity=1),), current_period_start=FEBRUARY, current_period_end=MARCH
    )

    told = changes(ACTIVE, after)

    assert [(change.event, change.state.items[0].quantity) for change in told] == [
        ("renewed", 1),
        ("changed", 1),
    ]


def test_an_unpaid_renewal_emits_renewed_and_past_due() -> None:
    after = replace(ACTIVE, status="past_due", current_period_start=FEBRUARY, current_period_end=MARCH)

    assert events(ACTIVE, replace(after, status="active")) == ["renewed"]
    assert events(replace(after, status="active"), after) == ["pastDue"]
    assert events(ACTIVE, after) == ["renewed", "pastDue"]


def test_skipped_states_on_the_only_path_still_emit_events() -> None:
    trial = replace(ACTIVE, status="trialing", trial_end=FEBRUARY)
    over = replace(trial, status="past_due", current_period_start=FEBRUARY, current_period_end=MARCH)

    assert events(trial, over) == ["activated", "pastDue"]
    assert events(None, over) == ["created", "activated", "pastDue"]
    assert events(trial, replace(over, status="unpaid")) == ["activated", "pastDue", "updated"]
    assert [change.state.current_period_start for change in changes(trial, over)] == [FEBRUARY, FEBRUARY]


def test_the_end_of_a_trial_is_an_activation_and_no_renewal() -> None:
    trial = replace(ACTIVE, status="trialing", trial_end=FEBRUARY)
    after = replace(trial, status="active", current_period_start=FEBRUARY, current_period_end=MARCH)

    assert events(trial, after) == ["activated"]


def test_what_has_no_name_of_its_own_is_an_update() -> None:
    assert events(ACTIVE, replace(ACTIVE, collection="invoice")) == ["updated"]


STATES = st.builds(
    State,
    status=st.sampled_from(get_args(Status)),
    collection=st.sampled_from(["none", "automatic", "invoice"]),
    items=st.lists(
        st.builds(item, price=st.sampled_from(["team_monthly", "team_yearly"]), quantity=st.integers(1, 3)),
        min_size=1,
        max_size=2,
        unique_by=lambda line: line.price,
    ).map(tuple),
    current_period_start=st.sampled_from([JANUARY, FEBRUARY]),
    current_period_end=st.sampled_from([FEBRUARY, MARCH]),
    trial_end=st.sampled_from([None, FEBRUARY]),
    cancel_at_period_end=st.booleans(),
)


@given(before=STATES, after=STATES)
def test_the_last_event_tells_the_state_that_was_reached(before: State, after: State) -> None:
    told = changes(before, after)

    if before.status in FINAL_STATUSES:
        assert told == []
    elif before != after:
        assert told[-1].state == after
        assert changes(told[-1].state, after) == []


@given(state=STATES)
def test_the_same_state_again_tells_nothing(state: State) -> None:
    assert changes(state, state) == []
