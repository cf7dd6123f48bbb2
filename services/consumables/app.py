"""The worker of this service: its handlers and the objects injected into them."""

from typing import Any

from starlette.applications import Starlette

from services.consumables.alerts import set_alerts
from services.consumables.consumption import (
    consume,
    consume_many,
    refunds_and_releases,
    reservations,
    usage_report,
)
from services.consumables.grants import expiry, manual_grants, renewal
from services.consumables.ledger import queries as ledger_queries
from services.consumables.metering import usage_export
from services.consumables.overage import charges, invoicing
from services.consumables.policy import policy
from services.consumables.previews import unit_changes
from services.consumables.projections import entities, event_handlers
from services.consumables.recharges import payment, preview, purchase
from services.consumables.recharges import queries as recharges_queries
from services.consumables.service import service
from services.consumables.settings import ConsumablesSettings
from services.consumables.totals import feature_totals
from shared.messaging.service_client import ServiceClient
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    consume,
    consume_many,
    refunds_and_releases,
    reservations,
    usage_report,
    expiry,
    manual_grants,
    renewal,
    ledger_queries,
    usage_export,
    entities,
    event_handlers,
    payment,
    preview,
    purchase,
    charges,
    invoicing,
    set_alerts,
    recharges_queries,
    feature_totals,
    unit_changes,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: ConsumablesSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    policy.recharges_per_hour = settings.recharges_per_hour
    policy.late_usage_days = settings.late_usage_days
    return [ServiceClient(settings, service.name)]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.consumables.app:application` runs it, too."""
    return make_worker(service, ConsumablesSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), ConsumablesSettings())
