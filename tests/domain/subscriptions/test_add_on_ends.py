"""When an add-on ends: with its customer's last plan, or earlier on its own."""

from datetime import UTC, datetime

import pytest

from services.subscriptions.domain.add_on_ends import FollowedEnd, PlanEnd, change_of_end, plan_end
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.subscriptions import Status

JANUARY, FEBRUARY, MARCH, DECEMBER = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 12))


def running(ends_at: datetime | None = None, status: Status = "active") -> State:
    return State(status, "automatic", (), JANUARY, DECEMBER, cancel_at=ends_at)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([None], PlanEnd(None)),
        ([FEBRUARY], PlanEnd(FEBRUARY)),
        ([FEBRUARY, MARCH], PlanEnd(MARCH)),
        ([FEBRUARY, None], PlanEnd(None)),
        ([FEBRUARY.replace(microsecond=7)], PlanEnd(FEBRUARY)),
        ([], PlanEnd(DECEMBER, has_ended=True)),
    ],
)
def test_the_last_plan_to_end_decides(ends: list[datetime | None], expected: PlanEnd) -> None:
    assert plan_end([running(end) for end in ends], DECEMBER) == expected


def test_an_add_on_that_would_last_longer_ends_with_the_plan() -> None:
    change = change_of_end(running(), None, PlanEnd(FEBRUARY))
    assert change is not None
    assert (change.at, change.now, change.credit) == (FEBRUARY, False, True)
    assert change.follows == FollowedEnd(FEBRUARY, None, True)
    # Once that is set, nothing is left to do.
    assert change_of_end(running(FEBRUARY), change.follows, PlanEnd(FEBRUARY)) is None


@pytest.mark.parametrize("own", [FEBRUARY, MARCH])
def test_an_end_of_its_own_stays_if_it_is_not_later(own: datetime) -> None:
    assert change_of_end(running(own), None, PlanEnd(MARCH)) is None


@pytest.mark.parametrize("own", [None, MARCH])
def test_a_plan_that_goes_on_gives_back_the_end_of_its_own(own: datetime | None) -> None:
    followed = FollowedEnd(FEBRUARY, own, credit=True)
    change = change_of_end(running(FEBRUARY), followed, PlanEnd(None))
    assert change is not None
    assert (change.at, change.now, change.follows) == (own, False, None)


def test_an_end_that_its_owner_has_changed_meanwhile_is_their_own() -> None:
    followed = FollowedEnd(FEBRUARY, None, credit=True)
    assert change_of_end(running(JANUARY), followed, PlanEnd(None)) is None
    moved = change_of_end(running(DECEMBER), followed, PlanEnd(MARCH))
    assert moved is not None and moved.follows == FollowedEnd(MARCH, DECEMBER, True)


@pytest.mark.parametrize("status", ["past_due", "unpaid", "incomplete"])
def test_time_that_is_not_paid_is_not_credited(status: Status) -> None:
    change = change_of_end(running(status=status), None, PlanEnd(FEBRUARY))
    assert change is not None and not change.credit
    # It is once the payment has come.
    later = change_of_end(running(FEBRUARY), change.follows, PlanEnd(FEBRUARY))
    assert later is not None and (later.at, later.credit) == (FEBRUARY, True)


def test_a_plan_that_has_ended_ends_the_add_on_now_unless_it_is_due_anyway() -> None:
    ended = PlanEnd(FEBRUARY, has_ended=True)
    for present in (None, MARCH):
        change = change_of_end(running(present), None, ended)
        assert change is not None and change.now
    assert change_of_end(running(FEBRUARY), None, ended) is None
    assert change_of_end(running(), None, PlanEnd(None, has_ended=True)) is None
