"""Recommendations from capacity, trends, revenue and alarms."""

from dataclasses import asdict
from datetime import UTC, timedelta

from services.monitoring.capacity.trends import load_trends
from services.monitoring.domain.capacity import uses
from services.monitoring.domain.recommendations import TREND_DAYS, RaisedAlarm, recommend
from services.monitoring.domain.trends import Growth
from services.monitoring.health.alarms import load_raised
from services.monitoring.revenue.queries import churn_percent
from services.monitoring.service import service
from services.monitoring.settings import Tiers
from services.monitoring.snapshots.counts import count_everything, load_feature_totals
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m


@service.question(m.GetRecommendations)
async def get_recommendations(
    work: UnitOfWork, _: m.GetRecommendations, client: ServiceClient, tiers: Tiers
) -> m.Recommendations:
    """Return what the figures suggest to do, the most severe first."""
    counts = await count_everything(work)
    trends = await load_trends(work, TREND_DAYS)
    today = work.now.astimezone(UTC).date()
    used = uses(await load_feature_totals(client), counts["unlimited"])
    found = recommend(
        used,
        {code: _growth(trend) for code, trend in trends.features.items()},
        tiers,
        counts["customers"],
        await churn_percent(work, today - timedelta(days=TREND_DAYS - 1), today + timedelta(days=1)),
        {currency: _growth(trend) for currency, trend in trends.mrr.items()},
        [
            RaisedAlarm(alarm.severity, alarm.title, alarm.action, alarm.about)
            for alarm in await load_raised(work)
            if alarm.about not in used  # capacity says so already
        ],
        today,
    )
    return m.Recommendations(items=[m.Recommendation(**asdict(advice)) for advice in found])


def _growth(trend: m.Trend | None) -> Growth | None:
    if trend is None:
        return None
    return Growth(**trend.model_dump(exclude={"reaches_limit_between"}))
