"""Wiring of the seats worker."""

from typing import Any

from starlette.applications import Starlette

from services.seats import queries
from services.seats.assignments import assign, seat_lifecycle
from services.seats.invitations import expiry
from services.seats.invitations.tokens import Invitations
from services.seats.projections import license_projection, subscription_projection
from services.seats.seat_count import change_seat_count, seat_quota_hold
from services.seats.service import service
from services.seats.settings import SeatsSettings
from services.seats.teams import transfer_billing_manager
from shared.messaging.service_client import ServiceClient
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    queries,
    assign,
    seat_lifecycle,
    expiry,
    subscription_projection,
    license_projection,
    change_seat_count,
    seat_quota_hold,
    transfer_billing_manager,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: SeatsSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    secret = settings.invitation_secret
    return [
        Invitations.of(secret.get_secret_value() if secret else None),
        ServiceClient(settings, service.name),
    ]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.seats.app:application` runs it, too."""
    return make_worker(service, SeatsSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), SeatsSettings())
