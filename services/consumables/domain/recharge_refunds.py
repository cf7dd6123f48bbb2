"""Units of a recharge whose payment was refunded: what is taken back, what was used, what is given again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """Units of a recharge that the money given back has accounted for so far."""

    taken_back: int = 0
    used: int = 0
    """Units that were used before they could be taken back."""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """What a refund means for the units now."""

    after: Reclaimed
    take: int = 0
    """Units to take back."""
    give: int = 0
    """Units to give again, because a refund has failed."""


def reclaim(quantity: int, amount: int, given_back: int, before: Reclaimed, left: int) -> Reclaim:
    """Account for the units of money that was given back, in proportion, rounded down.

    `quantity` units were bought for `amount`, of which `given_back` is refunded or lost; `left` of the units
    have not been used. What was used stays used. Units that were taken back for a refund that failed are
    given again.
    """
    due = quantity * min(given_back, amount) // amount
    more = due - before.taken_back - before.used
    if more >= 0:
        take = min(more, left)
        return Reclaim(Reclaimed(before.taken_back + take, before.used + more - take), take=take)
    give = min(-more, before.taken_back)
    used = before.used - (-more - give)
    return Reclaim(Reclaimed(before.taken_back - give, used), give=give)
