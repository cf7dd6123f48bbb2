"""Wiring of the webhooks worker, with the HTTP ingress next to the health endpoints."""

from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from services.webhooks.domain.stripe_event import livemode_of
from services.webhooks.event_store import outcomes, queries
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress import nats_ingress
from services.webhooks.ingress.http_ingress import PATH, HttpIngress
from services.webhooks.ingress.nats_ingress import NatsIngress
from services.webhooks.ingress.signature import Verifier
from services.webhooks.reconciliation import reconcile
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.replay import replay
from services.webhooks.service import service
from services.webhooks.settings import WebhooksSettings
from shared.messaging.service_runtime import Runtime
from shared.runtime.process import serve
from shared.runtime.worker import make_worker
from tallystick.subjects import Subjects

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    outcomes,
    queries,
    nats_ingress,
    reconcile,
    replay,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: WebhooksSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    event_writer = EventWriter(
        settings.database_url.get_secret_value(),
        Subjects(settings.subject_prefix),
        livemode=livemode_of(_secret(settings.stripe_secret_key)),
    )
    ingress = NatsIngress(
        event_writer, signature_verifier(settings), is_verified=settings.webhook_ingress_verified
    )
    return [
        event_writer,
        ingress,
        StripeEventList(_secret(settings.stripe_secret_key), settings.stripe_api_base),
    ]


def routes(runtime: Runtime, settings: WebhooksSettings) -> list[Route]:
    """Build the route that Stripe posts to."""
    event_writer: EventWriter = runtime.provided[EventWriter]
    event_writer.wake_relay = runtime.transactions.wake_relay
    return [Route(PATH, HttpIngress(signature_verifier(settings), event_writer), methods=["POST"])]


def signature_verifier(settings: WebhooksSettings) -> Verifier | None:
    """Build the verifier of Stripe signatures; None if no secret is set."""
    verifier = Verifier.of(_secret(settings.stripe_webhook_secret) or "")
    return verifier if verifier.keys else None


def _secret(setting: SecretStr | None) -> str | None:
    return setting.get_secret_value() if setting else None


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.webhooks.app:application` runs it, too."""
    return make_worker(service, WebhooksSettings(), provide=provide, routes=routes)


if __name__ == "__main__":
    serve(application(), WebhooksSettings())
