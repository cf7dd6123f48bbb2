"""Wiring of the licenses worker."""

from typing import Any

from starlette.applications import Starlette

from services.licenses import queries
from services.licenses.activation import activate, refresh, silent_instances
from services.licenses.issuing import issue
from services.licenses.issuing.license_keys import LicenseKeys
from services.licenses.lifecycle import change_seats, confirm_seats, expiry, suspension
from services.licenses.projections import catalog_projection, subscription_projection
from services.licenses.service import service
from services.licenses.settings import LicensesSettings
from services.licenses.signing import signing_keys
from services.licenses.signing.signing_keys import SigningKeys
from shared.messaging.service_client import ServiceClient
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    queries,
    activate,
    refresh,
    silent_instances,
    issue,
    change_seats,
    confirm_seats,
    expiry,
    suspension,
    catalog_projection,
    subscription_projection,
    signing_keys,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: LicensesSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    secret, signing = settings.license_key_secret, settings.license_signing_key
    return [
        LicenseKeys.of(secret.get_secret_value() if secret else None),
        SigningKeys.of(signing.get_secret_value() if signing else None),
        ServiceClient(settings, service.name),
    ]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.licenses.app:application` runs it, too."""
    return make_worker(service, LicensesSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), LicensesSettings())
