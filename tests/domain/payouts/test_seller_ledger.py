"""Movements of the seller ledger: holding, releasing, reversing, freezing."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.payouts.domain.seller_ledger import Movement, Share, apply, available_movement

NOW = datetime(2026, 2, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=7)


@dataclass
class Balance:
    """A balance in memory."""

    pending: int = 0
    available: int = 0
    paid_out: int = 0
    earned: int = 0
    fee: int = 0
    reversed: int = 0
    adjusted: int = 0
    returned: int = 0

    def take(self, *movements: Movement | None) -> None:
        """Apply movements."""
        for movement in movements:
            if movement is not None:
                apply(movement, self)

    @property
    def is_in_balance(self) -> bool:
        """The promise of the contract."""
        come = self.earned - self.fee - self.reversed + self.adjusted + self.returned
        return come == self.pending + self.available + self.paid_out


def test_a_share_is_held_and_then_released() -> None:
    balance, share = Balance(), Share(LATER)
    balance.take(share.settle(850, NOW))
    assert (balance.pending, balance.available, balance.earned) == (850, 0, 850)
    balance.take(share.release(NOW))
    assert balance.pending == 850
    balance.take(share.release(LATER))
    assert (balance.pending, balance.available) == (0, 850)
    assert share.release(LATER) is None


def test_without_hold_days_it_is_available_at_once() -> None:
    balance, share = Balance(), Share(NOW)
    balance.take(share.settle(850, NOW))
    assert (balance.pending, balance.available) == (0, 850)


def test_a_refund_takes_from_what_is_held_first_and_then_below_zero() -> None:
    balance, share = Balance(), Share(LATER)
    balance.take(share.settle(850, NOW), share.settle(500, NOW))
    assert (balance.pending, balance.available, balance.reversed) == (500, 0, 350)
    balance.take(share.release(LATER), available_movement("paid_out", 500), share.settle(0, LATER))
    assert (balance.pending, balance.available, balance.paid_out) == (0, -500, 500)
    other = Share(LATER)
    balance.take(other.settle(800, LATER))
    assert (balance.available, balance.is_in_balance) == (300, True)


def test_a_fee_is_taken_from_what_is_held_and_a_refund_does_not_return_it() -> None:
    balance, share = Balance(), Share(LATER)
    balance.take(share.settle(850, NOW), share.charge(30))
    assert (balance.pending, balance.fee) == (820, 30)
    balance.take(share.settle(0, NOW))
    assert (balance.pending, balance.available, share.held) == (0, -30, 0)


def test_a_dispute_holds_the_share_again_as_far_as_it_is_there() -> None:
    balance, share = Balance(), Share(NOW)
    balance.take(share.settle(850, NOW), available_movement("paid_out", 600))
    balance.take(share.freeze(balance.available))
    assert (balance.pending, balance.available, share.held) == (250, 0, 250)
    assert share.release(LATER) is None
    share.frozen = False
    balance.take(share.settle(0, NOW), share.release(NOW))
    assert (balance.pending, balance.available, balance.reversed) == (0, -600, 850)
    assert balance.is_in_balance


def test_what_is_not_released_yet_is_not_held_twice() -> None:
    balance, share = Balance(available=1_000, adjusted=1_000), Share(LATER)
    balance.take(share.settle(850, NOW), share.charge(30), share.freeze(1_000))
    assert (balance.pending, balance.available) == (820, 1_000)


@given(
    st.lists(
        st.tuples(st.sampled_from(["settle", "charge", "freeze", "thaw", "release"]), st.integers(0, 1_000)),
        max_size=20,
    )
)
def test_the_sums_are_in_balance_after_every_step(steps: list[tuple[str, int]]) -> None:
    balance, share, now = Balance(), Share(LATER), NOW
    for step, number in steps:
        now += timedelta(days=number % 3)
        if step == "settle":
            balance.take(share.settle(number - 100, now))
        elif step == "charge":
            balance.take(share.charge(number % 50))
        elif step == "freeze" and not share.frozen:
            balance.take(share.freeze(balance.available))
        elif step == "thaw":
            share.frozen = False
        else:
            balance.take(share.release(now))
        assert balance.is_in_balance
        assert balance.pending == share.held >= 0
