"""The figures of past snapshots as series of days."""

from collections.abc import Callable
from datetime import date
from typing import Any

import sqlalchemy as sa

from services.monitoring.domain.trends import Value
from services.monitoring.tables import SnapshotRow
from shared.persistence.unit_of_work import UnitOfWork

Series = list[tuple[date, Value]]
NOT_RUNNING = {"canceled", "expired", "incomplete"}


async def load_snapshots(work: UnitOfWork, since: date, until: date) -> list[tuple[date, dict[str, Any]]]:
    """Return the snapshots of the days from `since` to `until`, oldest first."""
    query = sa.select(SnapshotRow.day, SnapshotRow.figures).where(SnapshotRow.day.between(since, until))
    rows = await work.session.execute(query.order_by(SnapshotRow.day))
    return [(day, figures) for day, figures in rows]


def series_of(
    snapshots: list[tuple[date, dict[str, Any]]], read: Callable[[dict[str, Any]], Value | None]
) -> Series:
    """Return one figure by day; days without it are left out."""
    found = ((day, read(figures)) for day, figures in snapshots)
    return [(day, value) for day, value in found if value is not None]


def customers(figures: dict[str, Any]) -> Value:
    """Return the number of registered customers."""
    count: int = figures["customers"]
    return count


def subscriptions(figures: dict[str, Any]) -> Value:
    """Return the number of running subscriptions."""
    counts: dict[str, int] = figures["subscriptions"]
    return sum(count for status, count in counts.items() if status not in NOT_RUNNING)


def seats(figures: dict[str, Any]) -> Value:
    """Return the number of occupied seats."""
    count: int = figures["seats"]["occupied"]
    return count


def codes(snapshots: list[tuple[date, dict[str, Any]]], group: str) -> list[str]:
    """Return the codes that any of the snapshots has in a group of figures."""
    return sorted({code for _, figures in snapshots for code in figures[group] or ()})


def mrr(currency: str) -> Callable[[dict[str, Any]], Value | None]:
    """Read the recurring revenue in a currency."""
    return lambda figures: figures["mrr"].get(currency)


def feature(code: str) -> Callable[[dict[str, Any]], Value | None]:
    """Read the units of a feature in use."""
    return lambda figures: ((figures["features"] or {}).get(code) or {}).get("actual")


def resource(code: str) -> Callable[[dict[str, Any]], Value | None]:
    """Read the value of a reported resource; whole numbers as such."""

    def read(figures: dict[str, Any]) -> Value | None:
        value = (figures["resources"].get(code) or {}).get("value")
        return int(value) if value is not None and float(value).is_integer() else value

    return read
