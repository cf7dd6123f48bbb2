"""Movements of monthly recurring revenue, and trials, from the histories of subscriptions.

Revenue moves by customer, as Stripe counts it: what a customer pays beside a first subscription is an
expansion, and churn is that nothing is left. A customer whose last subscription is paused, or has no access
until they pay, has contracted and not churned; when it goes on, that is a reactivation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import Literal

from services.monitoring.domain.subscription_history import Point

Kind = Literal[
    "new",
    "expansion",
    "contraction",
    "churn",
    "reactivation",
    "trials_started",
    "trials_converted",
    "trials_lost",
    "collected",
    "refunded",
    "past_due",
    "recovered",
]
SIGNS: dict[Kind, int] = {"new": 1, "expansion": 1, "reactivation": 1, "contraction": -1, "churn": -1}
"""How each movement counts towards monthly recurring revenue."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to revenue: an amount in minor units (of trials: their number)."""

    kind: Kind
    at: datetime
    currency: str
    amount: Fraction
    customers: int = 0
    """How the number of paying customers changes."""


def movements(subscriptions: Mapping[str, Sequence[Point]]) -> list[Entry]:
    """Return the movements of one customer from the timelines of their subscriptions.

    What changes at the same moment is one change. Currencies are apart from each other.
    """
    entries: list[Entry] = []
    now: dict[str, Point] = {}
    known: set[str] = set()
    for at, changes in _moments(subscriptions):
        before = _totals(now.values())
        now.update(changes)
        after = _totals(now.values())
        for currency in sorted(before.keys() | after.keys()):
            old, new = before.get(currency, Fraction(0)), after.get(currency, Fraction(0))
            if old != new:
                kind = _kind(old, new, is_known=currency in known, is_held=_is_held(now.values(), currency))
                entries.append(Entry(kind, at, currency, abs(new - old), bool(new) - bool(old)))
                known.add(currency)
    return entries


def trials(points: Sequence[Point]) -> list[Entry]:
    """Return when a subscription's trials began, and what became of them."""
    entries: list[Entry] = []
    trial: Point | None = None
    for point in points:
        if point.phase == "trial" and trial is None:
            trial = point
            entries += _trial("trials_started", point, point)
        elif trial is not None and point.is_active:
            entries += _trial("trials_converted", point, trial)
            trial = None
        elif trial is not None and point.phase == "ended":
            entries += _trial("trials_lost", point, trial)
            trial = None
    return entries


def _trial(kind: Kind, point: Point, trial: Point) -> list[Entry]:
    # A free plan has no currency, and so no trial that could be paid for.
    return [Entry(kind, point.at, trial.currency, Fraction(1))] if trial.currency is not None else []


def _moments(subscriptions: Mapping[str, Sequence[Point]]) -> Iterable[tuple[datetime, dict[str, Point]]]:
    changes = sorted(
        (point.at, subscription_id, number)
        for subscription_id, points in subscriptions.items()
        for number, point in enumerate(points)
    )
    for at, group in groupby(changes, key=lambda change: change[0]):
        yield (
            at,
            {subscription_id: subscriptions[subscription_id][number] for _, subscription_id, number in group},
        )


def _totals(points: Iterable[Point]) -> dict[str, Fraction]:
    totals: dict[str, Fraction] = {}
    for point in points:
        if point.currency is not None and point.mrr:
            totals[point.currency] = totals.get(point.currency, Fraction(0)) + point.mrr
    return totals


def _is_held(points: Iterable[Point], currency: str) -> bool:
    return any(point.phase == "suspended" and point.currency == currency and point.price for point in points)


def _kind(old: Fraction, new: Fraction, *, is_known: bool, is_held: bool) -> Kind:
    if not old:
        return "reactivation" if is_known else "new"
    if new > old:
        return "expansion"
    return "contraction" if new or is_held else "churn"
