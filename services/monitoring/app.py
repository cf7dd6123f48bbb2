"""Wiring of the monitoring worker."""

from typing import Any

from starlette.applications import Starlette

from services.monitoring.projections import entities, prices, subscriptions
from services.monitoring.revenue import queries as revenue_queries
from services.monitoring.service import service
from services.monitoring.settings import MonitoringSettings
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
    revenue_queries,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: MonitoringSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    return [ServiceClient(settings, service.name)]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.monitoring.app:application` runs it, too."""
    return make_worker(service, MonitoringSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), MonitoringSettings())
