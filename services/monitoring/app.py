"""Wiring of the monitoring worker."""

from typing import Any

from starlette.applications import Starlette

from services.monitoring.capacity import queries as capacity_queries
from services.monitoring.capacity import recommendations, trends
from services.monitoring.health import alarms
from services.monitoring.health import queries as health_queries
from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.projections import catch_up, entities, prices, subscriptions
from services.monitoring.revenue import queries as revenue_queries
from services.monitoring.revenue import spending
from services.monitoring.service import service
from services.monitoring.settings import MonitoringSettings, load_alarm_rules, load_tiers
from services.monitoring.snapshots import capture, resources
from shared.messaging.service_client import ServiceClient
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    capture,
    resources,
    entities,
    prices,
    subscriptions,
    catch_up,
    revenue_queries,
    spending,
    capacity_queries,
    trends,
    recommendations,
    health_queries,
    alarms,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: MonitoringSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    return [
        ServiceClient(settings, service.name),
        JetStreamMonitor(settings),
        load_tiers(settings.capacity_file),
        load_alarm_rules(settings.alarms_file),
    ]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.monitoring.app:application` runs it, too."""
    return make_worker(service, MonitoringSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), MonitoringSettings())
