"""Growth over the snapshots of the last days."""

from dataclasses import asdict
from datetime import UTC, timedelta
from typing import Any

from services.monitoring.domain.trends import Growth, growth
from services.monitoring.service import service
from services.monitoring.snapshots import series
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m


@service.question(m.GetTrends)
async def get_trends(work: UnitOfWork, question: m.GetTrends) -> m.Trends:
    """Return the growth of every figure over the last days; a figure of fewer than two days is null."""
    return await load_trends(work, question.days)


async def load_trends(work: UnitOfWork, days: int) -> m.Trends:
    """Return the trends over so many days up to today, or to the newest snapshot if it is later."""
    today = work.now.astimezone(UTC).date()
    snapshots = await series.load_snapshots(work, today - timedelta(days=days), today)
    newest: dict[str, Any] = snapshots[-1][1] if snapshots else {}
    features = newest.get("features") or {}
    seats = newest.get("seats") or {}

    def grown(read: Any, limit: int | None = None) -> m.Trend | None:
        return _trend(growth(series.series_of(snapshots, read), limit))

    return m.Trends(
        days=days,
        snapshots_available=len(snapshots),
        customers=grown(series.customers),
        subscriptions=grown(series.subscriptions),
        seats=grown(series.seats, seats.get("capacity") or None),
        mrr={currency: grown(series.mrr(currency)) for currency in series.codes(snapshots, "mrr")},
        features={
            code: grown(series.feature(code), (features.get(code) or {}).get("theoretical_limit") or None)
            for code in series.codes(snapshots, "features")
        },
        resources={code: grown(series.resource(code)) for code in series.codes(snapshots, "resources")},
    )


def _trend(found: Growth | None) -> m.Trend | None:
    if found is None:
        return None
    fields = asdict(found)
    between = fields.pop("reaches_limit_between")
    return m.Trend(**fields, reaches_limit_between=list(between) if between is not None else None)
