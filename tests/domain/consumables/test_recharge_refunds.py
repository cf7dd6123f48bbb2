"""What becomes of the units of a recharge when its money is given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consumables.domain.recharge_refunds import Reclaim, Reclaimed, reclaim


@pytest.mark.parametrize(
    ("given_back", "before", "left", "wanted"),
    [
        # 50 units for 750.00, all refunded with 20 left: 20 are taken back, 30 were used.
        (75_000, Reclaimed(), 20, Reclaim(Reclaimed(20, 30), take=20)),
        (75_000, Reclaimed(), 50, Reclaim(Reclaimed(50, 0), take=50)),
        (75_000, Reclaimed(), 0, Reclaim(Reclaimed(0, 50))),
        # A third of the money is for 16 whole units.
        (25_000, Reclaimed(), 50, Reclaim(Reclaimed(16, 0), take=16)),
        # Then the rest.
        (75_000, Reclaimed(16, 0), 10, Reclaim(Reclaimed(26, 24), take=10)),
        # A refund that failed gives again what it took, and no more.
        (0, Reclaimed(20, 30), 0, Reclaim(Reclaimed(0, 0), give=20)),
        (37_500, Reclaimed(20, 30), 0, Reclaim(Reclaimed(0, 25), give=20)),
        (75_000, Reclaimed(20, 30), 0, Reclaim(Reclaimed(20, 30))),
    ],
)
def test_units_follow_their_money(given_back: int, before: Reclaimed, left: int, wanted: Reclaim) -> None:
    assert reclaim(50, 75_000, given_back, before, left) == wanted


@given(
    st.integers(1, 10_000),
    st.integers(1, 10**6),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10_000)), max_size=6),
)
def test_nothing_is_taken_twice_or_made_up(quantity: int, amount: int, steps: list[tuple[int, int]]) -> None:
    known, held = Reclaimed(), quantity
    for given_back, used in steps:
        held -= min(used, held)
        decided = reclaim(quantity, amount, given_back, known, held)
        held += decided.give - decided.take
        known = decided.after
        assert held >= 0 and min(decided.take, decided.give) == 0
        assert known.taken_back >= 0 and known.used >= 0
        assert known.taken_back + known.used == quantity * min(given_back, amount) // amount
