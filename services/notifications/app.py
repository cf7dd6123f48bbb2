"""Wiring of the notifications worker."""

from collections.abc import Coroutine
from typing import Any

from starlette.applications import Starlette

from services.notifications import queries
from services.notifications.clock import Clock
from services.notifications.deliveries import fan_out, redeliver
from services.notifications.deliveries.deliverer import Deliverer, DeliveryTools
from services.notifications.deliveries.fan_out import FanOut
from services.notifications.deliveries.http_client import WebhookClient
from services.notifications.endpoints import manage
from services.notifications.endpoints import queries as endpoint_queries
from services.notifications.endpoints.manage import EndpointPolicy
from services.notifications.endpoints.signing_secrets import SigningSecrets
from services.notifications.mail import jobs, resend
from services.notifications.mail.composer import Composer, Sender
from services.notifications.mail.links import SignedLinks
from services.notifications.mail.queue import MailQueue
from services.notifications.mail.renderer import Brand, Renderer
from services.notifications.mail.send_loop import SendLoop
from services.notifications.mail.sending import Mailer, MailTools
from services.notifications.mail.smtp import SmtpServer
from services.notifications.preferences import set_preferences
from services.notifications.projections import catalog_names, customers, seats, subscriptions, units
from services.notifications.service import service
from services.notifications.settings import NotificationsSettings
from shared.messaging.service_client import ServiceClient
from shared.messaging.service_runtime import Runtime
from shared.runtime.process import serve
from shared.runtime.worker import make_worker
from tallystick.subjects import Subjects

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    queries,
    endpoint_queries,
    manage,
    fan_out,
    redeliver,
    jobs,
    resend,
    set_preferences,
    catalog_names,
    customers,
    seats,
    subscriptions,
    units,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""


def provide(settings: NotificationsSettings) -> list[Any]:
    """Build the objects that are injected into handlers; raises ValueError for a wrong setting."""
    clock = Clock()
    sender = Sender.of(settings.mail_from, settings.mail_reply_to)
    links = SignedLinks([one.encode() for one in settings.secrets])
    server = SmtpServer.of(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
    secret = settings.invitation_secret
    composer = Composer(
        Renderer(Brand(settings.mail_brand_name, settings.mail_brand_color, settings.mail_brand_logo)),
        links,
        sender,
        settings.gateway_public_url,
        secret.get_secret_value().encode() if secret else None,
    )
    queue = MailQueue(
        clock, sender.domain, settings.kinds_off, tuple(settings.operators), can_send=server is not None
    )
    services = ServiceClient(settings, service.name)
    signing_secrets = SigningSecrets([one.encode() for one in settings.secrets])
    allow_private = settings.webhooks_out_allow_private
    return [
        clock,
        links,
        composer,
        queue,
        services,
        MailTools(composer, clock, settings.mail_language, server, services),
        signing_secrets,
        EndpointPolicy(allow_private=allow_private),
        FanOut(Subjects(settings.subject_prefix), clock),
        DeliveryTools(WebhookClient(allow_private=allow_private), signing_secrets, clock),
    ]


def background(runtime: Runtime, _: NotificationsSettings) -> list[Coroutine[Any, Any, None]]:
    """Build the tasks that send webhooks and, with a mail server, mails."""
    tools: MailTools = runtime.provided[MailTools]
    tasks = [Deliverer(runtime.transactions, runtime.provided[DeliveryTools]).run()]
    if tools.server is not None:
        tasks.append(SendLoop(Mailer(runtime.transactions, tools), tools.server).run())
    return tasks


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.notifications.app:application` runs it, too."""
    return make_worker(service, NotificationsSettings(), provide=provide, background=background)


if __name__ == "__main__":
    serve(application(), NotificationsSettings())
