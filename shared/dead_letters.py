"""Dead letters: messages that no retry can help, kept with the reason until somebody looks."""

from faststream.nats import NatsBroker

from shared.clock import utc_now
from shared.delivery import BuryDeadLetter, Incoming
from shared.limits import RELAY_PUBLISH_TIMEOUT_SECONDS
from tallystick.subjects import DEAD_LETTERS_STREAM, Subjects

NOT_KEPT = "nats-"
"""How headers begin that have a meaning to JetStream: a message that came in a batch, or from a schedule,
brings some along, with which the dead letter would be refused."""


def bury_in(broker: NatsBroker, subjects: Subjects, service: str) -> BuryDeadLetter:
    """A function that stores a dead letter of `service` and waits until it is on disk."""

    async def bury(incoming: Incoming, handler: str, error: str) -> None:
        headers = incoming.headers.items()
        kept = {name: value for name, value in headers if not name.lower().startswith(NOT_KEPT)}
        about = {
            "Billing-Origin-Subject": incoming.subject,
            "Billing-Origin-Stream": incoming.stream,
            "Billing-Service": service,
            "Billing-Handler": handler,
            "Billing-Attempts": str(incoming.attempt),
            "Billing-Error": " ".join(error.split()),
            "Billing-Failed-At": utc_now().isoformat(),
        }
        await broker.publish(
            incoming.body,
            subjects.dead_letter(service, handler),
            headers=kept | about,
            stream=DEAD_LETTERS_STREAM,
            timeout=RELAY_PUBLISH_TIMEOUT_SECONDS,
        )

    return bury
