"""The metrics of alarms, measured now."""

from datetime import UTC, timedelta

from services.monitoring.domain.alarms import About, Measurements, MetricName
from services.monitoring.domain.capacity import uses
from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.health.metrics import publish
from services.monitoring.health.vitals import load_vitals
from services.monitoring.revenue.queries import CHURN_DAYS, churn_percent
from services.monitoring.snapshots.counts import load_feature_totals
from shared.errors import Unavailable
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork

COUNT_FAILED_RECHARGES = (
    "SELECT count(*) FROM monitoring.known_recharges WHERE status = 'failed' AND at > %s AND at <= %s"
)


async def measure(work: UnitOfWork, jetstream: JetStreamMonitor, client: ServiceClient) -> Measurements:
    """Return the metrics of alarms; what cannot be measured now is left out."""
    found: dict[MetricName, dict[About, float]] = {}
    today = work.now.astimezone(UTC).date()
    churn = await churn_percent(work, today - timedelta(days=CHURN_DAYS - 1), today + timedelta(days=1))
    found["customer_churn_percent"] = {
        currency: share for currency, share in churn.items() if share is not None
    }
    cursor = await work.driver.execute(COUNT_FAILED_RECHARGES, (work.now - timedelta(days=1), work.now))
    row = await cursor.fetchone()
    found["recharge_failures"] = {None: float(row[0] if row else 0)}
    try:
        vitals = await load_vitals(work, jetstream)
    except Unavailable:
        pass
    else:
        publish(vitals)
        services = vitals.services()
        found["stream_full_percent"] = {
            name: share for name, share in vitals.full_percent().items() if share is not None
        }
        found["database_connections_percent"] = {None: vitals.connections_percent()}
        found["dead_letters"] = {each.service: float(each.dead_letters) for each in services}
        found["outbox_lag_seconds"] = {each.service: each.outbox_lag_seconds for each in services}
        found["unfinished_calls"] = {each.service: float(each.unfinished_calls) for each in services}
        found["consumer_lag_messages"] = {
            info.name: float(info.num_pending or 0) for info in vitals.jetstream.consumers
        }
    try:
        totals = await load_feature_totals(client)
    except Unavailable:
        return found
    found["feature_utilization_percent"] = {
        code: use.utilization_percent
        for code, use in uses(totals, {}).items()
        if use.utilization_percent is not None
    }
    return found
