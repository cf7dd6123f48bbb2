"""The notifications service with a mail server, for tests: events of customers and seats, and what is
mailed."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.notifications.app import service
from services.notifications.clock import Clock
from services.notifications.deliveries.deliverer import DeliveryTools
from services.notifications.deliveries.fan_out import FanOut
from services.notifications.deliveries.http_client import WebhookClient
from services.notifications.endpoints.manage import EndpointPolicy
from services.notifications.endpoints.signing_secrets import SigningSecrets
from services.notifications.mail.composer import Composer, Sender
from services.notifications.mail.links import SignedLinks
from services.notifications.mail.queue import MailQueue
from services.notifications.mail.renderer import Brand, Renderer
from services.notifications.mail.sending import MailTools
from services.notifications.mail.smtp import SmtpServer as SmtpSettings
from tallystick.messages import catalog, seats
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Command, Customer, Event, Question
from tallystick.subjects import Subjects
from tests.support import golden
from tests.support.runtime import NOON, Bound
from tests.support.smtp_server import SmtpServer

ACME = Customer(type="organization", id="acme")
ANNA = Customer(type="user", id="anna")
SECRET = "the-secret-from-which-tokens-are-made"
LINK_SECRET = b"the-secret-with-which-links-are-signed"
PUBLIC_URL = "https://billing.example.com"
SENDER = Sender.of("Tallystick <billing@example.com>", None)


@dataclass(slots=True)
class NotificationsWorld:
    """The service, its mail server, and a clock that tests move."""

    bound: Bound
    smtp: SmtpServer
    links: SignedLinks
    now: datetime = NOON
    _count: int = field(default=0)

    def pass_time(self, **span: float) -> None:
        """Move the clock."""
        self.now += timedelta(**span)
        self.bound.now = self.now

    def next_id(self, prefix: str) -> str:
        """An id that was not used before."""
        self._count += 1
        return f"{prefix}_{self._count:026d}"

    async def does(self, command: Command[Any]) -> dict[str, Any]:
        """The result of a command."""
        outcome = await self.bound.handle(command)
        assert outcome.status == "succeeded", outcome
        return outcome.result or {}

    async def asks(self, question: Question[Any]) -> dict[str, Any]:
        """The answer to a question."""
        outcome = await self.bound.handle(question)
        assert outcome.status == "succeeded", outcome
        return outcome.result or {}

    async def refuses(self, message: Command[Any] | Question[Any]) -> str:
        """The code with which a message is rejected."""
        outcome = await self.bound.handle(message)
        assert outcome.status == "rejected", outcome
        assert outcome.error is not None
        return outcome.error.code

    async def hears(self, event: Event, name: str) -> None:
        """Deliver an event of the feed."""
        await self.bound.hears(event, name)

    async def sends(self) -> None:
        """Send what is due now."""
        await self.bound.tick("send_mails", self.now)

    async def rows(self) -> list[dict[str, Any]]:
        """All notifications."""
        return await self.bound.rows("SELECT * FROM notifications.notifications ORDER BY notification_id")

    async def names(self) -> list[str]:
        """The names of this service's events so far."""
        return [subject.rsplit(".", 1)[1] for subject, _ in await self.bound.feed()]

    async def happens(self, event: Event, name: str) -> None:
        """Deliver an event of the feed to the fan-out of webhooks."""
        token = event.customer.token if event.customer else event.platform_token
        subject = Subjects().event(event.entity, token, name, event.schema_version)
        await self.bound.follow("notifications-outgoing", subject, event.model_dump_json().encode())

    async def delivers(self) -> None:
        """Send the webhooks that are due now."""
        await self.bound.tick("deliver_webhooks", self.now)

    async def deliveries(self) -> list[dict[str, Any]]:
        """All deliveries."""
        return await self.bound.rows("SELECT * FROM notifications.deliveries ORDER BY delivery_id")

    def customer(
        self,
        customer: Customer = ACME,
        *,
        version: int = 1,
        email: str = "billing@acme.example",
        **fields: Any,
    ) -> s.CustomerEvent:
        """The event of a registered customer."""
        values: dict[str, Any] = {"name": "Acme GmbH", "metadata": {}, "stripe_customer_id": None} | fields
        snapshot = s.CustomerSnapshot(
            type=customer.type,
            id=customer.id,
            customer_id="cus_acme",
            version=version,
            email=email,
            created_at=self.now,
            **values,
        )
        return s.CustomerEvent(**(self._envelope(customer, version) | {"customer": snapshot}))

    def seat(
        self,
        email: str | None = "bob@example.com",
        *,
        seat_id: str = "seat_1",
        version: int = 1,
        status: str = "pending",
        caused_by: str = "assign-1",
        **fields: Any,
    ) -> seats.SeatEvent:
        """An event of a seat."""
        values: dict[str, Any] = {
            "member": None,
            "multiplier": 1,
            "role": None,
            "metadata": {},
            "invited_at": self.now,
            "expires_at": self.now + timedelta(days=7) if status == "pending" else None,
            "claimed_at": None,
            "revoked_at": None,
        } | fields
        snapshot = seats.SeatSnapshot(
            seat_id=seat_id,
            version=version,
            team_id="team_acme",
            subscription_id="sub_acme",
            status=status,  # type: ignore[arg-type]
            email=email,
            **values,
        )
        envelope = self._envelope(ACME, version) | {"caused_by": caused_by}
        return seats.SeatEvent(**envelope, seat=snapshot)

    def product(self, code: str = "team", name: str = "Team") -> catalog.ProductEvent:
        """The event of a product of the catalog."""
        body = golden.read("feed.productV1")["body"]["product"] | {"code": code, "name": name, "version": 1}
        product = catalog.Product.model_validate_json(json.dumps(body))
        return catalog.ProductEvent(**(self._envelope(ACME, 1) | {"customer": None}), product=product)

    def _envelope(self, customer: Customer, version: int) -> dict[str, Any]:
        return {
            "event_id": self.next_id("evt"),
            "occurred_at": self.now,
            "version": version,
            "caused_by": "command-1",
            "customer": customer,
        }


@asynccontextmanager
async def notifications_world(
    bind: Callable[..., Bound], smtp: SmtpServer, *, allow_private: bool = True, **settings: Any
) -> AsyncIterator[NotificationsWorld]:
    """The service bound to a database and a mail server."""
    links = SignedLinks([LINK_SECRET])
    clock = Clock(lambda: world.now)
    composer = Composer(Renderer(Brand("Tallystick", "#1f5fbf")), links, SENDER, PUBLIC_URL, SECRET.encode())
    queue = MailQueue(clock, SENDER.domain, **settings)
    tools = MailTools(composer, clock, "en", SmtpSettings.of(smtp.url))
    signing_secrets = SigningSecrets([LINK_SECRET])
    sending = DeliveryTools(WebhookClient(allow_private=allow_private), signing_secrets, clock)
    policy = EndpointPolicy(allow_private=allow_private)
    fan_out = FanOut(Subjects(), clock)
    provided = (clock, links, composer, queue, tools, signing_secrets, sending, policy, fan_out)
    world = NotificationsWorld(bind(service, *provided), smtp, links)
    yield world
    await sending.close()
