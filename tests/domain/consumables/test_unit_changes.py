"""What units due do to balances, and their sums by feature."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.consumables.domain.allotments import Due, Granted, Held, due
from services.consumables.domain.grant_cycles import Cycle
from services.consumables.domain.unit_changes import AccountChange, UnitChange, sum_by_feature, unit_change
from tallystick.messages.subscriptions import UnitsChange

JANUARY = Cycle(0, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
COUNTS = st.integers(0, 300)


@given(before=COUNTS, after=COUNTS, share=st.integers(0, 100), carried=COUNTS)
def test_what_remains_is_the_new_quantity_less_what_was_used(
    before: int, after: int, share: int, carried: int
) -> None:
    used = before * share // 100
    held = Held(remaining=before - used, in_use=used, unused=before - used, carried=carried)
    change = unit_change(due(after, 0, JANUARY, Granted(JANUARY, before), held), held)
    assert change.remaining == max(0, after - used)
    assert change.change == change.remaining - (before - used)


def test_the_figures_of_solo() -> None:
    """80 hours of which 30 are used: none from now on, then 200, and none when all 80 are used."""
    thirty, eighty = Held(50, 30, 50, 7), Held(0, 80, 0, 7)
    solo = Granted(JANUARY, 80)
    assert unit_change(due(0, 0, JANUARY, solo, thirty), thirty) == UnitChange(-50, 0)
    assert unit_change(due(200, 0, JANUARY, solo, thirty), thirty) == UnitChange(120, 170)
    assert unit_change(due(0, 0, JANUARY, solo, eighty), eighty) == UnitChange(0, 0)


def test_accounts_are_added_up_and_unlimited_features_left_out() -> None:
    given_now = unit_change(Due(5, 0, closes=False))
    changes = [
        AccountChange("hours", "seat:1", given_now, "month", 5),
        AccountChange("hours", "seat:2", UnitChange(-2, 3), "month", 3),
        AccountChange("calls", "seat:1", None, "month", 0),
        AccountChange("calls", "seat:2", given_now, "month", 5),
    ]
    hours = UnitsChange(feature="hours", change=3, remaining=8, every="month", next_cycle=8, accounts=2)
    assert sum_by_feature(changes) == [hours]


def test_intervals_that_differ_are_not_named() -> None:
    changes = [
        AccountChange("hours", "customer:1", UnitChange(-10, 0), "month", 0),
        AccountChange("hours", "customer:1", UnitChange(100, 100), None, 100),
    ]
    assert sum_by_feature(changes) == [
        UnitsChange(feature="hours", change=90, remaining=100, every=None, next_cycle=0, accounts=1)
    ]
