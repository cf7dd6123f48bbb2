"""Parsing of payloads, shared by HTTP, NATS and reconciliation."""

from datetime import datetime

import orjson

from services.webhooks.domain.stripe_event import IncomingEvent, InvalidEvent, parse_event

PAYLOAD_MAX_BYTES = 524_288
"""512 KiB, as the contract states; Stripe's largest events are far smaller."""


def read_event(payload: bytes, received_at: datetime) -> IncomingEvent:
    """Parse the Stripe event in a payload; raise InvalidEvent with the reason."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise InvalidEvent(f"larger than {PAYLOAD_MAX_BYTES} bytes")
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"not JSON: {error.msg}") from None
    return parse_event(document, payload, received_at)
