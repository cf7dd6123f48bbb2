"""How units move between the states of a balance, and in which order grants are drawn on."""

from datetime import UTC, datetime, timedelta

import pytest

from services.consumables.domain.balance import (
    Balance,
    Cause,
    Drawn,
    Grant,
    Insufficient,
    burn_order,
    draw,
    end,
    give_back,
    reduce_excess,
)
from tallystick.messages.consumables import CountedKind

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
WHY = Cause("command", "user_ann")


def balance(*grants: Grant, kind: CountedKind = "consumable") -> Balance:
    """A balance of just these grants."""
    found = Balance(
        "team:team_1", "hours", kind, "organization_acme", False, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, None
    )
    for grant in grants:
        grant.balance = found
        found.granted += grant.quantity or 0
        found.remaining += grant.remaining
        found.unlimited += grant.quantity is None
    found.attach_grants(grants, NOW)
    return found


def grant(
    name: str,
    quantity: int | None,
    *,
    expires_at: datetime | None = None,
    priority: int = 100,
    age_days: int = 0,
) -> Grant:
    """A grant that is still unused."""
    nowhere = Balance("", "", "consumable", "", False, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None)
    at = NOW - timedelta(days=age_days)
    return Grant(nowhere, name, quantity, 0, 0, 0, quantity or 0, expires_at, priority, at, 1, False, False)


def names(taken: Drawn | Insufficient) -> list[tuple[str, int]]:
    assert isinstance(taken, Drawn)
    return [(part.grant.grant_id, part.quantity) for part in taken.parts]


def is_whole(one: Balance) -> bool:
    return one.granted + one.beyond == one.consumed + one.reserved + one.expired + one.remaining


def test_soonest_to_expire_then_lowest_priority_then_oldest() -> None:
    one = balance(
        grant("young", 1),
        grant("old", 1, age_days=3),
        grant("promotion", 1, priority=10),
        grant("later", 1, expires_at=TOMORROW + timedelta(days=1)),
        grant("soon, last", 1, expires_at=TOMORROW),
        grant("soon, first", 1, expires_at=TOMORROW, priority=1),
    )
    taken = draw([one], one.grants, 6, "consumed", WHY)
    assert [name for name, _ in names(taken)] == [
        "soon, first",
        "soon, last",
        "later",
        "promotion",
        "old",
        "young",
    ]


def test_the_order_goes_across_balances() -> None:
    seat, team = balance(grant("seat", 5)), balance(grant("team", 5, expires_at=TOMORROW))
    taken = draw([seat, team], burn_order([seat, team]), 7, "consumed", WHY)
    assert names(taken) == [("team", 5), ("seat", 2)]
    assert isinstance(taken, Drawn) and taken.remaining == 3
    assert is_whole(seat) and is_whole(team)


def test_all_or_nothing_unless_part_of_it_is_wanted() -> None:
    one = balance(grant("a", 2), grant("b", 3, age_days=-1))
    assert draw([one], one.grants, 6, "consumed", WHY) == Insufficient(5)
    assert one.entries == []
    assert names(draw([one], one.grants, 6, "consumed", WHY, partial=True)) == [("a", 2), ("b", 3)]
    assert draw([one], one.grants, 1, "consumed", WHY, partial=True) == Insufficient(0)


def test_what_has_lapsed_is_out_before_anybody_draws() -> None:
    one = balance(grant("lapsed", 4, expires_at=NOW), grant("good", 1))
    assert (one.remaining, one.expired) == (1, 4)
    assert draw([one], one.grants, 2, "consumed", WHY) == Insufficient(1)
    assert is_whole(one)


def test_unbounded_consumption_is_recorded_beyond_the_grant() -> None:
    one = balance(grant("endless", None), grant("soon", 2, expires_at=TOMORROW))
    taken = draw([one], one.grants, 5, "reserved", WHY)
    assert names(taken) == [("soon", 2), ("endless", 3)]
    assert isinstance(taken, Drawn) and taken.remaining is None
    assert (one.granted, one.beyond, one.reserved, one.remaining) == (2, 3, 5, 0)
    give_back(one.grants[1], "released", 3, WHY)
    assert (one.beyond, one.reserved) == (0, 2)
    assert is_whole(one)


@pytest.mark.parametrize("ended", [True, False])
def test_what_comes_back_to_an_ended_grant_lapses_with_it(ended: bool) -> None:
    one = balance(grant("a", 10))
    draw([one], one.grants, 4, "consumed", WHY)
    if ended:
        end(one.grants[0])
    give_back(one.grants[0], "refunded", 4, WHY)
    assert (one.remaining, one.expired) == ((0, 10) if ended else (10, 0))
    assert is_whole(one)


def test_a_lowered_limit_takes_back_what_is_freed_until_it_holds() -> None:
    """10 of 3 + 7 are in use. Without the 7, seven releases free nothing and the eighth makes room."""
    one = balance(grant("three", 3, age_days=1), grant("seven", 7), kind="limit")
    draw([one], one.grants, 10, "consumed", WHY)
    three, seven = one.grants
    end(seven, "revoked", WHY)
    assert (one.excess, one.remaining) == (7, 0)
    for _ in range(7):
        give_back(seven, "freed", 1, WHY)
    assert (one.excess, one.remaining, one.consumed) == (0, 0, 3)
    give_back(three, "freed", 1, WHY)
    assert (one.remaining, one.consumed) == (1, 2)
    assert is_whole(one)


def test_new_room_in_a_limit_goes_to_those_who_are_in_already() -> None:
    one = balance(grant("three", 3), kind="limit")
    draw([one], one.grants, 3, "consumed", WHY)
    one.excess = 2
    more = balance(grant("five", 5), kind="limit").grants[0]
    more.balance = one
    one.grants.append(more)
    one.granted, one.remaining = one.granted + 5, 5
    reduce_excess(one)
    assert (one.excess, one.remaining, one.expired) == (0, 3, 2)
    assert is_whole(one)


def members(*grants: Grant) -> Balance:
    """A limit of just these grants."""
    return balance(*grants, kind="limit")


def test_used_places_of_an_expired_grant_exceed_the_ceiling() -> None:
    """10 of 3 + 7 are in use when the 7 expire: the first seven releases free nothing."""
    one = members(grant("three", 3), grant("seven", 7, expires_at=TOMORROW))
    draw([one], one.grants, 10, "consumed", WHY)
    seven, three = one.grants
    assert seven.is_open
    one.attach_grants(one.grants, TOMORROW)
    assert (one.excess, one.remaining, one.consumed) == (7, 0, 10)
    for _ in range(7):
        give_back(seven, "freed", 1, WHY)
    assert (one.excess, one.remaining) == (0, 0)
    give_back(three, "freed", 1, WHY)
    assert (one.remaining, one.expired, seven.is_open) == (1, 7, False)
    assert is_whole(one)


def test_released_places_of_an_expired_grant_are_free_again() -> None:
    """5 of 5 + 10 are in use and the 5 expire: 5 of the 10 remain, and 10 after all are released."""
    one = members(grant("ten", 10), grant("five", 5, expires_at=TOMORROW))
    draw([one], one.grants, 5, "consumed", WHY)
    five = one.grants[0]
    one.attach_grants(one.grants, TOMORROW)
    assert (one.excess, one.remaining) == (0, 5)
    give_back(five, "freed", 5, WHY)
    assert (one.excess, one.remaining, one.expired) == (0, 10, 5)
    assert names(draw([one], one.grants, 10, "consumed", WHY)) == [("five", 5), ("ten", 5)]
    assert is_whole(one)


def test_a_limit_grant_that_lapses_early_lowers_the_ceiling() -> None:
    """10 of 10 are in use, 5 more lapse when the limit is 3 + 5; without the 5, 7 are above."""
    one = members(grant("three", 10))
    draw([one], one.grants, 10, "consumed", WHY)
    more = members(grant("five", 5, expires_at=TOMORROW)).grants[0]
    more.balance = one
    one.grants.insert(0, more)
    one.granted, one.remaining, one.excess = one.granted + 5, 5, 7
    reduce_excess(one)
    assert (one.excess, one.remaining, more.is_open) == (2, 0, True)
    one.attach_grants(one.grants, TOMORROW)
    assert (one.excess, one.remaining, more.is_open) == (7, 0, False)
    assert is_whole(one)


def test_what_was_used_of_unlimited_places_counts_when_they_end() -> None:
    """8 of an unlimited grant are in use beside 10: 2 remain when it ends, and 10 after 8 releases."""
    one = members(grant("ten", 10), grant("endless", None, expires_at=TOMORROW))
    draw([one], one.grants, 8, "consumed", WHY)
    endless = one.grants[0]
    assert (endless.consumed, one.beyond) == (8, 8)
    one.attach_grants(one.grants, TOMORROW)
    assert (one.unlimited, one.excess, one.remaining, one.beyond, one.granted) == (0, 0, 2, 0, 18)
    give_back(endless, "freed", 8, WHY)
    assert (one.excess, one.remaining, one.consumed) == (0, 10, 0)
    assert is_whole(one)


def test_low_means_below_threshold_or_a_fifth_of_the_last_grant() -> None:
    one = balance(grant("a", 100))
    one.last_granted = 100
    assert one.level == 21
    one.threshold = 20
    assert one.level == 20
