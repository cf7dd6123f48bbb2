"""What a subscription is worth a month, from version to version."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal

from services.monitoring.domain.history import Run
from services.monitoring.domain.prices import Discount, Item, Prices, monthly_price
from tallystick.messages.subscriptions import FINAL_STATUSES, Status

Phase = Literal["pending", "trial", "paying", "suspended", "ended"]
"""`suspended`: paused, or without access until open invoices are paid."""

_PHASES: dict[Status, Phase] = {
    "incomplete": "pending",
    "trialing": "trial",
    "active": "paying",
    "past_due": "paying",
    "unpaid": "suspended",
    "paused": "suspended",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What counts of one version of a subscription."""

    status: Status
    restricted: bool
    items: tuple[Item, ...]
    discounts: tuple[Discount, ...] = ()
    since: datetime | None = field(default=None, compare=False)
    """When a later version than the first probably became what it is; used if no earlier one is heard."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a subscription is from a moment on."""

    at: datetime
    phase: Phase
    is_active: bool
    """Whether its status is `active`: nothing is owed."""
    price: Fraction
    """Its monthly price, whether it counts or not."""
    currency: str | None

    @property
    def mrr(self) -> Fraction:
        """The part of the price that counts: while it is paying."""
        return self.price if self.phase == "paying" else Fraction(0)


def phase_of(status: Status, *, restricted: bool) -> Phase:
    """Return the phase of a status: past due counts as paying until access is restricted."""
    if status in FINAL_STATUSES:
        return "ended"
    phase = _PHASES[status]
    return "suspended" if phase == "paying" and restricted else phase


def timeline(runs: Sequence[Run[Content]], prices: Prices) -> list[Point]:
    """Return the points at which a subscription changes, in the order of its versions.

    A discount that ends before the next version makes a point of its own. A version is never before an
    earlier one, even where clocks differ.
    """
    points: list[Point] = []
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        content = run.content
        at = run.at if content.since is None or points else min(content.since, run.at)
        at = max(at, points[-1].at) if points else at
        until = following.at if following is not None else None
        points += [_point(content, prices, moment) for moment in _moments(content, at, until)]
    return points


def _moments(content: Content, at: datetime, until: datetime | None) -> Iterator[datetime]:
    """Yield the start of a version, and the ends of its discounts before the next one."""
    yield at
    ends = {discount.ends_at for discount in content.discounts if discount.ends_at is not None}
    yield from sorted(end for end in ends if at < end and (until is None or end < until))


def _point(content: Content, prices: Prices, at: datetime) -> Point:
    running = [each for each in content.discounts if each.ends_at is None or each.ends_at > at]
    price = monthly_price(content.items, prices, running)
    phase = phase_of(content.status, restricted=content.restricted)
    return Point(at, phase, content.status == "active", price.amount, price.currency)
