"""The seller ledger in memory: movements of money, and the balances that they lead to.

Money of a seller is pending (held) or available. A movement without a kind releases held money, or holds
available money again; only the others are ledger entries.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tallystick.messages.payouts import EntryKind


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that moves in one balance; `kind` is None where it only changes between pending and available."""

    kind: EntryKind | None
    amount: int
    pending: int
    """What it adds to the pending amount."""
    available: int
    """What it adds to the available amount."""


class Sums(Protocol):
    """What a seller has in one currency, in its minor unit, and the sums of the entries that led to it."""

    pending: int
    available: int
    paid_out: int
    earned: int
    fee: int
    reversed: int
    adjusted: int
    returned: int


def apply(movement: Movement, balance: Sums) -> None:
    """Add a movement to a balance.

    Afterwards, as before, earned − fee − reversed + adjusted + returned = pending + available + paid_out.
    """
    balance.pending += movement.pending
    balance.available += movement.available
    if movement.kind is not None:
        setattr(balance, movement.kind, getattr(balance, movement.kind) + movement.amount)


@dataclass(slots=True)
class Share:
    """What was booked for one product of one invoice."""

    available_at: datetime
    booked: int = 0
    """Earned less reversed; negative for a credit."""
    held: int = 0
    """The part that is still pending."""
    fee: int = 0
    """Taken from it, and not returned by a refund."""
    frozen: bool = False
    """Held until a dispute is closed, whatever `available_at` says."""

    def settle(self, owed: int, now: datetime) -> Movement | None:
        """Book the difference to what is owed now: earned if it is more, else reversed.

        What is reversed is taken from the held part first, then from the available money, even below zero.
        """
        difference = owed - self.booked
        self.booked = owed
        if difference > 0:
            is_held = self.frozen or now < self.available_at
            self.held += difference if is_held else 0
            return _movement("earned", difference, pending=difference if is_held else 0)
        if difference < 0:
            return self._take("reversed", -difference)
        return None

    def charge(self, fee: int) -> Movement | None:
        """Take a fee, from the held part first."""
        self.fee += fee
        return self._take("fee", fee) if fee else None

    def freeze(self, available: int) -> Movement | None:
        """Hold the share while a dispute is open; what was released is held again as far as it is there."""
        self.frozen = True
        again = max(0, min(self.booked - self.fee - self.held, available))
        return self._shift(again)

    def release(self, now: datetime) -> Movement | None:
        """Make the held part available, if its time has come."""
        if self.frozen or now < self.available_at:
            return None
        return self._shift(-self.held)

    def _take(self, kind: EntryKind, amount: int) -> Movement:
        from_held = min(self.held, amount)
        self.held -= from_held
        return _movement(kind, amount, pending=-from_held)

    def _shift(self, to_held: int) -> Movement | None:
        self.held += to_held
        return Movement(None, abs(to_held), to_held, -to_held) if to_held else None


SIGNS: dict[EntryKind, int] = {
    "earned": 1,
    "fee": -1,
    "reversed": -1,
    "adjusted": 1,
    "paid_out": -1,
    "returned": 1,
}
"""Whether an entry adds to what is pending and available, or takes from it."""


def available_movement(kind: EntryKind, amount: int) -> Movement:
    """Return an entry that changes the available amount only."""
    return _movement(kind, amount, pending=0)


def _movement(kind: EntryKind, amount: int, *, pending: int) -> Movement:
    return Movement(kind, amount, pending, SIGNS[kind] * amount - pending)
