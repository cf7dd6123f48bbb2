"""Wiring of the notifications worker."""

from collections.abc import Coroutine
from typing import Any

from starlette.applications import Starlette

from services.notifications import queries
from services.notifications.clock import Clock
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
from shared.messaging.service_runtime import Runtime
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (queries, jobs, resend, set_preferences, catalog_names, customers, seats, subscriptions, units)
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
    queue = MailQueue(clock, sender.domain, settings.kinds_off, can_send=server is not None)
    return [clock, links, composer, queue, MailTools(composer, clock, settings.mail_language, server)]


def background(runtime: Runtime, _: NotificationsSettings) -> list[Coroutine[Any, Any, None]]:
    """Build the task that sends mails; none without a mail server."""
    tools: MailTools = runtime.provided[MailTools]
    if tools.server is None:
        return []
    return [SendLoop(Mailer(runtime.transactions, tools), tools.server).run()]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.notifications.app:application` runs it, too."""
    return make_worker(service, NotificationsSettings(), provide=provide, background=background)


if __name__ == "__main__":
    serve(application(), NotificationsSettings())
