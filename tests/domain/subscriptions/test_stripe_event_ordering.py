"""Stripe events in any order: which are applied or ignored, and when Stripe is asked."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.domain.stripe_event_ordering import (
    AppliedState,
    ArrivedEvent,
    EventAction,
    choose_action,
    choose_action_without_stripe,
    rank_of,
    remains_ahead,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seen(
    at: datetime = NOON, *, rank: int = 1, is_final: bool = False, is_outbox_ahead: bool = False
) -> AppliedState:
    return AppliedState(
        is_final=is_final, event_id="evt_seen", event_at=at, event_rank=rank, is_outbox_ahead=is_outbox_ahead
    )


def arrived(
    at: datetime = NOON,
    *,
    rank: int = 1,
    is_final: bool = False,
    is_same: bool = False,
    event_id: str = "evt_new",
) -> ArrivedEvent:
    return ArrivedEvent(event_id=event_id, event_at=at, rank=rank, is_final=is_final, is_same=is_same)


def test_an_object_new_to_us_is_taken_in() -> None:
    assert choose_action(None, arrived()) is EventAction.APPLY


def test_a_newer_event_is_applied_and_an_older_one_is_not() -> None:
    assert choose_action(seen(), arrived(NOON + timedelta(seconds=1))) is EventAction.APPLY
    assert choose_action(seen(), arrived(NOON - timedelta(seconds=1))) is EventAction.IGNORE


def test_conflicts_within_one_second_are_settled_by_stripe() -> None:
    assert choose_action(seen(), arrived()) is EventAction.FETCH


def test_the_same_state_of_the_same_second_needs_no_question() -> None:
    assert choose_action(seen(), arrived(is_same=True)) is EventAction.APPLY


def test_the_same_event_again_changes_nothing() -> None:
    assert choose_action(seen(), arrived(event_id="evt_seen")) is EventAction.IGNORE


def test_an_end_is_applied_however_late_it_comes() -> None:
    assert choose_action(seen(NOON + timedelta(hours=1)), arrived(is_final=True)) is EventAction.APPLY


def test_nothing_is_applied_after_the_end() -> None:
    assert choose_action(seen(is_final=True), arrived(NOON + timedelta(hours=1))) is EventAction.IGNORE


def test_a_fetched_state_is_not_overwritten_by_an_older_event() -> None:
    later = NOON + timedelta(seconds=5)

    assert choose_action(seen(is_outbox_ahead=True), arrived(later)) is EventAction.FETCH
    assert choose_action(seen(is_outbox_ahead=True), arrived(later, is_same=True)) is EventAction.APPLY
    assert not remains_ahead(seen(is_outbox_ahead=True), arrived(later, is_same=True))


def test_same_second_events_do_not_claim_a_fetched_state() -> None:
    assert remains_ahead(seen(is_outbox_ahead=True), arrived(is_same=True))
    assert not remains_ahead(seen(is_outbox_ahead=True, rank=0), arrived(is_same=True))
    assert not remains_ahead(seen(), arrived(is_same=True))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("created", "updated", EventAction.APPLY),
        ("updated", "created", EventAction.IGNORE),
        ("updated", "updated", EventAction.APPLY),
    ],
)
def test_without_stripe_a_tie_goes_to_what_comes_later_in_a_life(
    first: str, second: str, verdict: EventAction
) -> None:
    before = seen(rank=rank_of(f"customer.subscription.{first}"))
    event = arrived(rank=rank_of(f"customer.subscription.{second}"))

    assert choose_action_without_stripe(before, event) is verdict


LIFE = [
    # (second, type, status): created and activated in one second, then overdue, then ended
    (0, "created", "incomplete"),
    (0, "updated", "active"),
    (9, "updated", "past_due"),
    (20, "deleted", "canceled"),
]


RECOVERED = [
    # Made, activated and then changed in one second, overdue later, and then active again.
    (0, "created", "incomplete"),
    (0, "updated", "active"),
    (0, "updated", "active"),
    (9, "updated", "past_due"),
    (20, "updated", "active"),
]


def settle(order: list[int], truth: str) -> str:
    """Run events in an order; `truth` is what Stripe answers when it is asked."""
    return states(LIFE, order, truth)[-1].removeprefix("*")


def states(life: list[tuple[int, str, str]], order: list[int], truth: str) -> list[str]:
    """The sequence of states, with a star where a fetched state was ahead of all events."""
    state, memory, known, is_told = "unknown", None, [], False
    for index in order:
        second, kind, status = life[index]
        at, rank = NOON + timedelta(seconds=second), rank_of(f"customer.subscription.{kind}")
        is_final = status == "canceled"
        event = arrived(at, rank=rank, is_final=is_final, is_same=status == state, event_id=str(index))
        verdict = choose_action(memory, event)
        if verdict is not EventAction.IGNORE:
            state = truth if verdict is EventAction.FETCH else status
            ahead = truth != status if verdict is EventAction.FETCH else remains_ahead(memory, event)
            if memory is not None and memory.event_at == at:
                rank = max(rank, memory.event_rank)
            memory = AppliedState(state == "canceled", str(index), at, rank, ahead)
            is_told = is_told or ahead
        known.append(f"*{state}" if is_told else state)
    return known


@pytest.mark.parametrize("order", list(permutations(range(len(LIFE)))))
def test_every_order_of_a_whole_life_leads_to_its_end(order: tuple[int, ...]) -> None:
    assert settle(list(order), "canceled") == "canceled"


@pytest.mark.parametrize("order", list(permutations(range(len(RECOVERED)))))
def test_what_stripe_said_last_is_not_undone_by_what_came_before(order: tuple[int, ...]) -> None:
    known = states(RECOVERED, list(order), "active")
    assert {state for state in known if state.startswith("*")} <= {"*active"}
    assert known[-1].removeprefix("*") == "active"


@given(st.lists(st.integers(0, 2), min_size=3, max_size=12).filter(lambda order: {0, 1, 2} <= set(order)))
def test_late_and_repeated_events_lead_to_what_stripe_says(order: list[int]) -> None:
    assert settle(order, "past_due") == "past_due"


def test_created_and_activated_in_one_second_lead_to_active() -> None:
    assert (settle([0, 1], "active"), settle([1, 0], "active")) == ("active", "active")
