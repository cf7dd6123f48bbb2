"""Which grants accounts are due: terms from items, top-ups, rollover and catching up."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from services.consumables.domain.allotments import (
    Due,
    Granted,
    Held,
    Terms,
    carried_over,
    due,
    effective_at,
    share_left,
    terms_of,
)
from services.consumables.domain.grant_cycles import ONCE, cycle_at
from tallystick.messages.catalog import SeatRule
from tallystick.messages.subscriptions import ItemFeature, SubscriptionItem

JANUARY_1 = datetime(2026, 1, 1, tzinfo=UTC)
JANUARY = cycle_at(JANUARY_1, "month", JANUARY_1)
FEBRUARY = cycle_at(JANUARY_1, "month", datetime(2026, 2, 1, tzinfo=UTC))
MAY = cycle_at(JANUARY_1, "month", datetime(2026, 5, 20, tzinfo=UTC))


def feature(code: str = "hours", quantity: int | None = 10, **more: Any) -> ItemFeature:
    kind = more.pop("kind", "consumable")
    every = more.pop("every", "month" if kind == "consumable" else None)
    return ItemFeature(
        feature=code,
        quantity=quantity,
        every=every,
        kind=kind,
        team_allowed=more.pop("team_allowed", False),
        rollover=more.pop("rollover", 0),
    )


def item(*features: ItemFeature, seats: SeatRule | None = None, quantity: int = 1) -> SubscriptionItem:
    return SubscriptionItem(
        product="team", price="team_monthly", quantity=quantity, seats=seats, features=list(features)
    )


def quantities(*items: SubscriptionItem) -> dict[str, int | None]:
    return {slot: terms.quantity for slot, terms in terms_of(items).items()}


def test_seats_get_team_units_and_the_payer_gets_the_rest() -> None:
    team = item(
        feature(quantity=10, team_allowed=True),
        feature(quantity=5),
        seats=SeatRule(strategy="per_seat"),
        quantity=30,
    )
    assert quantities(team) == {"hours.seat.month": 10, "hours.own.month": 5}


def test_a_team_shares_one_pool_however_many_seats_it_has() -> None:
    team = item(feature(quantity=100, team_allowed=True), seats=SeatRule(strategy="per_team"), quantity=30)
    assert quantities(team) == {"hours.pool.month": 100}


def test_what_has_no_seats_is_had_as_often_as_it_was_bought() -> None:
    assert quantities(item(feature(quantity=100, rollover=20, team_allowed=True), quantity=3)) == {
        "hours.own.month": 300
    }
    (terms,) = terms_of([item(feature(rollover=20), quantity=3)]).values()
    assert terms.rollover == 60


def test_flags_are_no_units_and_limits_have_no_rhythm() -> None:
    found = terms_of([item(feature("dark_mode", None, kind="flag"), feature("shops", 3, kind="limit"))])
    assert found == {"shops.own.once": Terms("shops", "limit", "own", None, 3, 0)}


@pytest.mark.parametrize(("owner_seat", "slots"), [("free", {"seat", "own"}), ("none", {"seat"})])
def test_a_limit_of_each_seat_is_the_owners_too_who_has_a_seat(owner_seat: Any, slots: set[str]) -> None:
    rule = SeatRule(strategy="per_seat", owner_seat=owner_seat)
    found = terms_of([item(feature("shops", 3, kind="limit", team_allowed=True), seats=rule)])
    assert {terms.reach for terms in found.values()} == slots


def test_several_items_add_up_and_unlimited_stays_unlimited() -> None:
    assert quantities(item(feature(quantity=10)), item(feature(quantity=7))) == {"hours.own.month": 17}
    assert quantities(item(feature(quantity=10)), item(feature(quantity=None))) == {"hours.own.month": None}


def held(granted: int, left: int) -> Held:
    """What a plan has granted, of which so much is left."""
    return Held(remaining=left, in_use=granted - left, unused=left, carried=0)


def test_the_first_grant_is_all_that_is_wanted() -> None:
    assert due(20, 50, JANUARY, None) == Due(20, 0, closes=False)


def test_nothing_is_granted_twice_in_a_cycle() -> None:
    assert due(20, 50, JANUARY, Granted(JANUARY, 20), held(20, 20)) is None


def test_a_late_look_at_an_earlier_cycle_grants_nothing() -> None:
    assert due(20, 0, JANUARY, Granted(FEBRUARY, 20)) is None


def test_a_doubled_multiplier_tops_up_by_the_difference() -> None:
    assert due(20, 0, JANUARY, Granted(JANUARY, 10), held(10, 3)) == Due(10, 0, closes=False)


def test_or_by_what_is_left_of_the_month_if_asked() -> None:
    # 16 January 12:00 is half of a month of 31 days.
    half = share_left(JANUARY, datetime(2026, 1, 16, 12, tzinfo=UTC))
    assert half == Fraction(1, 2)
    assert due(20, 0, JANUARY, Granted(JANUARY, 10), held(10, 3), share=half) == Due(5, 0, closes=False)


@pytest.mark.parametrize(
    ("used", "remaining"), [(0, 10), (4, 6), (10, 0), (15, 0), (20, 0)], ids=lambda count: str(count)
)
def test_less_is_the_new_quantity_less_what_was_used(used: int, remaining: int) -> None:
    """From 20 to 10 in the middle of a cycle; never below zero, and all of the new one after the cycle."""
    now = due(10, 0, JANUARY, Granted(JANUARY, 20), held(20, 20 - used))
    assert now == Due(0, 0, closes=False, taken_back=20 - used - remaining)
    assert due(10, 0, FEBRUARY, Granted(JANUARY, 10), held(20, 20 - used)) == Due(10, 0, closes=True)


@pytest.mark.parametrize(("used", "granted_again"), [(0, 80), (30, 50), (80, None)])
def test_there_and_back_gives_nothing_twice(used: int, granted_again: int | None) -> None:
    """80 hours, none, and 80 again within one cycle: 80 less what was used."""
    back = Held(remaining=0, in_use=used, unused=80 - used, carried=0)
    found = due(80, 60, JANUARY, Granted(JANUARY, 0), back)
    assert found == (None if granted_again is None else Due(granted_again, 0, closes=False))


def test_what_was_taken_back_is_not_carried_over() -> None:
    """80, of which 30 were used and 50 taken back; 7 that were carried over are untouched."""
    left = Held(remaining=0, in_use=30, unused=50, carried=7)
    assert due(80, 60, FEBRUARY, Granted(JANUARY, 0), left) == Due(80, 7, closes=True)


def test_80_left_with_a_rollover_of_50_are_50_and_the_new_ones() -> None:
    assert due(100, 50, FEBRUARY, Granted(JANUARY, 100), held(100, 80)) == Due(100, 50, closes=True)
    assert due(100, 50, FEBRUARY, Granted(JANUARY, 100), held(100, 30)) == Due(100, 30, closes=True)


@pytest.mark.parametrize(
    ("left", "quantity", "rollover", "missed", "carried"),
    [
        (80, 100, 0, 0, 0),
        (0, 100, 50, 0, 0),
        # Missed cycles were not used at all.
        (0, 100, 50, 3, 50),
        (10, 20, 50, 1, 30),
        (10, 20, 50, 2, 50),
        # Unlimited units leave nothing to carry.
        (0, None, 50, 1, 0),
    ],
)
def test_what_is_carried_over(
    left: int, quantity: int | None, rollover: int, missed: int, carried: int
) -> None:
    assert carried_over(left, quantity, rollover, missed) == carried


def test_only_the_current_cycle_is_granted_after_an_outage() -> None:
    assert due(10, 0, MAY, Granted(JANUARY, 10), held(10, 4)) == Due(10, 0, closes=True)


def test_unlimited_ends_with_its_cycle_or_at_once_without_one() -> None:
    assert due(10, 0, JANUARY, Granted(JANUARY, None)) is None
    assert due(10, 0, ONCE, Granted(ONCE, None)) == Due(10, 0, closes=True)
    assert due(None, 0, JANUARY, Granted(JANUARY, 10), held(10, 4)) == Due(None, 0, closes=False)


def test_a_renewal_that_is_not_known_yet_grants_nothing() -> None:
    end = datetime(2026, 2, 1, tzinfo=UTC)
    late = datetime(2026, 3, 15, tzinfo=UTC)
    assert cycle_at(JANUARY_1, "month", effective_at(late, JANUARY_1, end)) == JANUARY


def test_a_period_that_is_told_has_begun_whatever_the_clock_says() -> None:
    start, end = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert cycle_at(JANUARY_1, "month", effective_at(JANUARY_1, start, end)) == FEBRUARY
