"""Measurements of services, streams and the database, from which health and alarms are told."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from nats.js.api import ConsumerInfo

from services.monitoring.domain.rounding import percent
from services.monitoring.health.jetstream import JetStreamMonitor, JetStreamState
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m

SELECT_LAGS = "SELECT service, outbox_lag_seconds, unfinished FROM monitoring.service_lags()"
SELECT_DATABASE = """
    SELECT pg_database_size(current_database()),
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
           current_setting('max_connections')::int
"""


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

    def full_percent(self) -> dict[str, float | None]:
        """Return the share of its bytes that each stream holds; None: it has no limit."""
        return {
            info.config.name or "": percent(info.state.bytes, info.config.max_bytes or 0, 1)
            for info in self.jetstream.streams
            if (info.config.max_bytes or 0) >= 0
        }

    def connections_percent(self) -> float:
        """Return the share of the database's connections that is in use."""
        return percent(self.database.connections, self.database.max_connections, 1) or 0.0

    def services(self) -> list[m.ServiceVitals]:
        """Return the health of each service with tables."""
        consumers: dict[str, list[ConsumerInfo]] = defaultdict(list)
        for info in self.jetstream.consumers:
            consumers[info.name.partition("-")[0]].append(info)
        return [
            m.ServiceVitals(
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


def _is_read(info: ConsumerInfo) -> bool:
    """Whether somebody waits for a consumer's messages, or has some in hand."""
    return bool(info.num_waiting or info.num_ack_pending)
