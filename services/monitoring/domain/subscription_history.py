"""What a subscription is worth a month, from version to version."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal

from services.monitoring.domain.history import Run
from services.monitoring.domain.prices import Item, Prices, monthly_price
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
    """Its monthly price, discounted and without tax, whether it counts or not."""
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


@dataclass(frozen=True, slots=True)
class NetShare:
    """From a moment on, the share of the list price that is left after discounts and without tax."""

    at: datetime
    share: Fraction


def timeline(runs: Sequence[Run[Content]], prices: Prices, shares: Sequence[NetShare] = ()) -> list[Point]:
    """Return the points at which a subscription changes, in the order of its versions.

    The first net share holds from the beginning, each further one from its own moment. A version is never
    before an earlier one, even where clocks differ.
    """
    points: list[Point] = []
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        at = run.at if run.content.since is None or points else min(run.content.since, run.at)
        at = max(at, points[-1].at) if points else at
        until = following.at if following is not None else None
        within = [each.at for each in shares[1:] if at < each.at and (until is None or each.at < until)]
        points += [_point(run.content, prices, moment, shares) for moment in (at, *within)]
    return points


def _point(content: Content, prices: Prices, at: datetime, shares: Sequence[NetShare]) -> Point:
    price = monthly_price(content.items, prices)
    phase = phase_of(content.status, restricted=content.restricted)
    begun = [each.share for each in shares if each.at <= at]
    share = begun[-1] if begun else shares[0].share if shares else Fraction(1)
    return Point(at, phase, content.status == "active", price.amount * share, price.currency)
