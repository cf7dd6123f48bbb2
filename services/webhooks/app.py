"""Wiring: the webhooks worker, with the ingress beside its health endpoints."""

from typing import Any

from pydantic import SecretStr
from starlette.routing import BaseRoute, Route

from services.webhooks.event_store import outcomes, queries
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress import nats_ingress
from services.webhooks.ingress.http_ingress import PATH, StripeIngress
from services.webhooks.ingress.nats_ingress import NatsIngress
from services.webhooks.ingress.signature import Verifier
from services.webhooks.reconciliation import reconcile
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.replay import replay
from services.webhooks.service import service
from services.webhooks.settings import WebhooksSettings
from shared.messaging.service_runtime import Runtime
from shared.runtime.worker import run
from tallystick.subjects import Subjects

__all__ = ["HANDLERS", "provide", "service"]

HANDLERS = (
    outcomes,
    queries,
    nats_ingress,
    reconcile,
    replay,
)
"""Importing these modules registers the commands, questions, events and jobs of this worker."""


def provide(settings: WebhooksSettings) -> list[Any]:
    """What the handlers need beside their transaction."""
    ingest = EventWriter(settings.database_url.get_secret_value(), Subjects(settings.subject_prefix))
    ingress = NatsIngress(ingest, verifier(settings), is_verified=settings.webhook_ingress_verified)
    return [ingest, ingress, StripeEventList(_secret(settings.stripe_secret_key), settings.stripe_api_base)]


def routes(runtime: Runtime, settings: WebhooksSettings) -> list[BaseRoute]:
    """The route that Stripe posts to."""
    ingest: EventWriter = runtime.provided[EventWriter]
    ingest.wake_relay = runtime.transactions.wake_relay
    return [Route(PATH, StripeIngress(verifier(settings), ingest), methods=["POST"])]


def verifier(settings: WebhooksSettings) -> Verifier | None:
    """Checks signatures; None where no secret is set."""
    found = Verifier.of(_secret(settings.stripe_webhook_secret) or "")
    return found if found.keys else None


def _secret(setting: SecretStr | None) -> str | None:
    return setting.get_secret_value() if setting else None


if __name__ == "__main__":
    run(service, WebhooksSettings(), provide=provide, routes=routes)
