"""Dead letters: messages that no retry can help, kept with the reason until an operator looks at them."""

import re

from faststream.nats import NatsBroker

from shared.clock import utc_now
from shared.messaging.redelivery import Incoming, StoreDeadLetter
from shared.tuning import (
    DEAD_LETTER_HEADERS_MAX_BYTES,
    MESSAGE_MAX_BYTES,
    RELAY_PUBLISH_TIMEOUT_SECONDS,
)
from tallystick.client.dead_letters import DROPPED_HEADERS_HEADER, ORIGIN_PREFIX, TRUNCATED_HEADER
from tallystick.message_size import headers_size, message_size
from tallystick.subjects import DEAD_LETTERS_STREAM, Subjects

JETSTREAM_PREFIX = "nats-"
"""Headers with this prefix have a meaning to JetStream. A message from a batch or from a schedule brings some
along, and a dead letter with them would be refused."""
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What NATS clients accept as a header's name. A raw connection can send others."""


def dead_letter_store(broker: NatsBroker, subjects: Subjects, service: str) -> StoreDeadLetter:
    """A function that stores a dead letter of `service` and waits until it is on disk."""

    async def bury(incoming: Incoming, handler: str, error: str) -> None:
        headers, body = dead_letter(incoming, service, handler, error)
        await broker.publish(
            body,
            subjects.dead_letter(service, handler),
            headers=headers,
            stream=DEAD_LETTERS_STREAM,
            timeout=RELAY_PUBLISH_TIMEOUT_SECONDS,
        )

    return bury


def dead_letter(incoming: Incoming, service: str, handler: str, error: str) -> tuple[dict[str, str], bytes]:
    """The headers and body of a dead letter, no larger together than `MESSAGE_MAX_BYTES`.

    A message that is too large to be kept whole is cut: `Billing-Truncated` then says how many bytes its body
    had, `Billing-Dropped-Headers` how many of its headers are missing.
    """
    headers, dropped = _kept_headers(incoming.headers)
    headers |= {
        "Billing-Origin-Subject": incoming.subject,
        "Billing-Origin-Stream": incoming.stream,
        "Billing-Service": service,
        "Billing-Handler": handler,
        "Billing-Attempts": str(incoming.attempt),
        "Billing-Error": " ".join(error.split()),
        "Billing-Failed-At": utc_now().isoformat(),
    }
    if dropped:
        headers[DROPPED_HEADERS_HEADER] = str(dropped)
    if message_size(incoming.body, headers) <= MESSAGE_MAX_BYTES:
        return headers, incoming.body
    headers[TRUNCATED_HEADER] = str(len(incoming.body))
    return headers, incoming.body[: MESSAGE_MAX_BYTES - headers_size(headers)]


def _kept_headers(headers: dict[str, str]) -> tuple[dict[str, str], int]:
    """The headers to keep of a message, as many as fit, and how many of them did not."""
    kept: dict[str, str] = {}
    dropped = 0
    size = 0
    for name, value in headers.items():
        if name.lower().startswith((JETSTREAM_PREFIX, ORIGIN_PREFIX.lower())):
            continue
        with_it = size + headers_size({name: value})
        if with_it > DEAD_LETTER_HEADERS_MAX_BYTES or not HEADER_NAME.fullmatch(name):
            dropped += 1
        else:
            kept[name] = value
            size = with_it
    return kept, dropped
