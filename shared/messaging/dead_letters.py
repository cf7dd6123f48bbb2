"""Dead letters: messages that cannot be handled, stored with the reason until an operator looks at them."""

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
"""The prefix of headers that JetStream interprets. Messages from a batch or a schedule have such headers, and
JetStream would reject a dead letter that has them."""
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""Names of headers that NATS clients accept; a raw connection can send others."""


def dead_letter_store(broker: NatsBroker, subjects: Subjects, service: str) -> StoreDeadLetter:
    """Return a function that stores a dead letter of `service` and waits until it is on disk."""

    async def store(incoming: Incoming, handler: str, error: str) -> None:
        headers, body = dead_letter(incoming, service, handler, error)
        await broker.publish(
            body,
            subjects.dead_letter(service, handler),
            headers=headers,
            stream=DEAD_LETTERS_STREAM,
            timeout=RELAY_PUBLISH_TIMEOUT_SECONDS,
        )

    return store


def dead_letter(incoming: Incoming, service: str, handler: str, error: str) -> tuple[dict[str, str], bytes]:
    """Build the headers and the body of a dead letter, together at most `MESSAGE_MAX_BYTES`.

    A message that is too large is cut: `Billing-Truncated` is then the length of its body in bytes, and
    `Billing-Dropped-Headers` the number of headers that are missing.
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
    """Return the headers to keep, as many as fit, and the number of dropped ones."""
    kept: dict[str, str] = {}
    dropped = 0
    size = 0
    for name, value in headers.items():
        if name.lower().startswith((JETSTREAM_PREFIX, ORIGIN_PREFIX.lower())):
            continue
        new_size = size + headers_size({name: value})
        if new_size > DEAD_LETTER_HEADERS_MAX_BYTES or not HEADER_NAME.fullmatch(name):
            dropped += 1
        else:
            kept[name] = value
            size = new_size
    return kept, dropped
