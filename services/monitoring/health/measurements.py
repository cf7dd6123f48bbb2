"""Measurements of services and database, and the metrics of alarms that follow from them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import NamedTuple

from nats.js.api import ConsumerInfo

from services.monitoring.domain.alarms import About, Measurements, MetricName
from services.monitoring.domain.capacity import uses
from services.monitoring.health.jetstream import JetStreamMonitor, JetStreamState
from services.monitoring.revenue.queries import churn_percent
from services.monitoring.snapshots.counts import load_feature_totals
from shared.errors import Unavailable
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m

CHURN_DAYS = 30
SELECT_LAGS = "SELECT service, outbox_lag_seconds, unfinished FROM monitoring.service_lags()"
SELECT_DATABASE = """
    SELECT pg_database_size(current_database()),
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
           current_setting('max_connections')::int
"""
COUNT_FAILED_RECHARGES = (
    "SELECT count(*) FROM monitoring.known_recharges WHERE status = 'failed' AND at > %s AND at <= %s"
)


class Lag(NamedTuple):
    """What a service has committed and not finished."""

    service: str
    outbox_lag_seconds: float
    unfinished: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """What health is told from."""

    lags: list[Lag]
    database: m.DatabaseHealth
    jetstream: JetStreamState

    def services(self) -> list[m.ServiceHealth]:
        """Return the health of each service with tables."""
        consumers: dict[str, list[ConsumerInfo]] = defaultdict(list)
        for info in self.jetstream.consumers:
            consumers[info.name.partition("-")[0]].append(info)
        return [
            m.ServiceHealth(
                service=lag.service,
                ready=bool(consumers[lag.service]) and all(map(_is_read, consumers[lag.service])),
                consumer_lag=sum(info.num_pending or 0 for info in consumers[lag.service]),
                outbox_lag_seconds=round(lag.outbox_lag_seconds, 3),
                dead_letters=self.jetstream.dead_letters.get(lag.service, 0),
                unfinished_calls=lag.unfinished,
            )
            for lag in self.lags
        ]


async def load_vitals(work: UnitOfWork, jetstream: JetStreamMonitor) -> Vitals:
    """Measure services, database and streams; raises Unavailable if JetStream does not answer."""
    lags = await (await work.driver.execute(SELECT_LAGS)).fetchall()
    sizes = await (await work.driver.execute(SELECT_DATABASE)).fetchone()
    assert sizes is not None
    database = m.DatabaseHealth(bytes=sizes[0], connections=sizes[1], max_connections=sizes[2])
    return Vitals([Lag._make(lag) for lag in lags], database, await jetstream.state())


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
        services = vitals.services()
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


def _is_read(info: ConsumerInfo) -> bool:
    """Whether somebody waits for a consumer's messages, or has some in hand."""
    return bool(info.num_waiting or info.num_ack_pending)
