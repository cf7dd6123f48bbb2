"""The NATS ingress: payloads that another receiver got from Stripe and forwarded."""

from dataclasses import dataclass

from services.webhooks.domain.stripe_event import InvalidEvent
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress.payload import read_event
from services.webhooks.ingress.signature import BadSignature, Verifier
from services.webhooks.service import service
from shared.clock import utc_now
from shared.errors import Unavailable
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.persistence.unit_of_work import Transactions
from tallystick.subjects import WEBHOOKS_STREAM

SIGNATURE_HEADER = "stripe-signature"


@dataclass(frozen=True, slots=True)
class NatsIngress:
    """Verifies and stores events from NATS messages."""

    event_writer: EventWriter
    verifier: Verifier | None
    is_verified: bool
    """Whether the sender has verified Stripe's signature already; it is not verified again then."""

    async def receive(self, incoming: Incoming) -> None:
        """Store the event in a message.

        Raises Undeliverable if it can never be stored, Unavailable if it cannot be stored now.
        """
        try:
            if not self.is_verified:
                self._verify(incoming)
            event = read_event(incoming.body, utc_now())
        except (BadSignature, InvalidEvent) as error:
            raise Undeliverable(str(error)) from error
        await self.event_writer.store(event)

    def _verify(self, incoming: Incoming) -> None:
        if self.verifier is None:
            raise Unavailable("STRIPE_WEBHOOK_SECRET is not set: signatures cannot be checked.")
        # Its age counts until JetStream received it, as the message may have waited during an outage.
        arrived_at = incoming.published_at.timestamp()
        self.verifier.verify(incoming.body, _signature(incoming.headers), arrived_at=arrived_at)


@service.follow("webhooks-ingress", stream=WEBHOOKS_STREAM, name="nats_ingress")
async def nats_ingress(transactions: Transactions, incoming: Incoming, ingress: NatsIngress) -> None:
    """Store an event that arrived over NATS."""
    await ingress.receive(incoming)


def _signature(headers: dict[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER), None)
