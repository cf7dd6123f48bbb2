"""The HTTP ingress that Stripe posts events to; it answers 200 only after the event is committed.

It is plain ASGI, as this is the busiest route of the product and needs no request object of a framework.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from services.webhooks.domain.stripe_event import InvalidEvent
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress.payload import PAYLOAD_MAX_BYTES, read_event
from services.webhooks.ingress.signature import BadSignature, Verifier
from shared.clock import utc_now
from shared.errors import Unavailable
from shared.observability.metrics import DURATION, HANDLED

log = structlog.get_logger()

Headers = list[tuple[bytes, bytes]]

PATH = "/api/v1/webhooks/stripe"
HANDLER = "http_ingress"
CLOSE_CONNECTION = [(b"connection", b"close")]
"""Sent if the body was not read to its end, as the connection cannot be reused."""
BODY_TIMEOUT_SECONDS = 10.0
"""Timeout for the body; Stripe sends it at once."""
DRAIN_MAX_BYTES = 4 * 1024 * 1024
DRAIN_TIMEOUT_SECONDS = 2.0
"""Limits for discarding the rest of a body that is too large. A client may lose the response if the
connection is closed while it is still sending."""
CONTENT_LENGTH_MAX_DIGITS = 18

SECRET_MISSING = "STRIPE_WEBHOOK_SECRET is not set: signatures cannot be checked."
NOT_STORED = "The event could not be stored now; send it again."


@dataclass(frozen=True, slots=True)
class Response:
    """A response and its outcome in the metrics."""

    status: int
    outcome: str
    body: bytes
    headers: Headers

    @classmethod
    def of(cls, status: int, outcome: str, body: dict[str, Any], headers: Headers) -> "Response":
        """Create a response with a JSON body."""
        encoded = orjson.dumps(body)
        length = (b"content-length", str(len(encoded)).encode())
        return cls(status, outcome, encoded, [(b"content-type", b"application/json"), length, *headers])

    async def send(self, send: Send, receive: Receive) -> None:
        """Send the response; for `TOO_LARGE` discard the rest of the request before the end."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if self is not TOO_LARGE:
            await send({"type": "http.response.body", "body": self.body})
            return
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            await asyncio.wait_for(_drain(receive), DRAIN_TIMEOUT_SECONDS)
        await send({"type": "http.response.body", "body": b""})


def _error_response(status: int, code: str, message: str, headers: Headers | None = None) -> Response:
    outcome = "failed" if status >= 500 else "rejected"
    return Response.of(status, outcome, {"error": {"code": code, "message": message}}, headers or [])


STORED = Response.of(200, "succeeded", {"received": True}, [])
TOO_LARGE = _error_response(
    413, "payload_too_large", f"An event has at most {PAYLOAD_MAX_BYTES} bytes.", CLOSE_CONNECTION
)
TOO_SLOW = _error_response(
    408, "request_timeout", f"The body did not arrive within {BODY_TIMEOUT_SECONDS:g} s.", CLOSE_CONNECTION
)
NOT_CONFIGURED = _error_response(503, "webhook_secret_missing", SECRET_MISSING)


class PayloadTooLarge(Exception):
    """The body exceeds the limit."""


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


class HttpIngress:
    """The ASGI application behind `POST /api/v1/webhooks/stripe`."""

    def __init__(self, verifier: Verifier | None, event_writer: EventWriter) -> None:
        self._verifier = verifier
        self._event_writer = event_writer
        self._counters = {
            outcome: HANDLED.labels("webhooks", HANDLER, outcome)
            for outcome in ("succeeded", "rejected", "failed")
        }
        self._duration = DURATION.labels("webhooks", HANDLER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive one event."""
        started = time.perf_counter()
        try:
            response = await self._respond(scope, receive)
        except ClientDisconnected:
            return
        await response.send(send, receive)
        self._counters[response.outcome].inc()
        self._duration.observe(time.perf_counter() - started)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        signature, length = _headers(scope)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                payload = await _body(receive, length)
        except PayloadTooLarge:
            return TOO_LARGE
        except TimeoutError:
            return TOO_SLOW
        if self._verifier is None:
            return NOT_CONFIGURED
        now = utc_now()
        try:
            self._verifier.verify(payload, signature, arrived_at=now.timestamp())
            event = read_event(payload, now)
        except BadSignature as error:
            log.warning("signature refused", reason=str(error))
            return _error_response(400, "invalid_signature", str(error))
        except InvalidEvent as error:
            log.warning("payload refused", reason=str(error))
            return _error_response(400, "invalid_event", str(error))
        try:
            await self._event_writer.store(event)
        except Unavailable as error:
            log.warning("event not stored", event_id=event.event_id, reason=str(error))
            return _error_response(503, "unavailable", NOT_STORED)
        except Exception:
            log.exception("event not stored", event_id=event.event_id)
            return _error_response(503, "unavailable", NOT_STORED)
        return STORED


def _headers(scope: Scope) -> tuple[str | None, bytes]:
    signature, length = None, b""
    for name, value in scope["headers"]:
        if name == b"stripe-signature":
            signature = value.decode("latin-1")
        elif name == b"content-length":
            length = value
    return signature, length


async def _drain(receive: Receive) -> None:
    discarded = 0
    while discarded < DRAIN_MAX_BYTES:
        message = await receive()
        if not message.get("more_body", False):
            return
        discarded += len(message["body"])


async def _body(receive: Receive, length: bytes) -> bytes:
    """Read the body; raise PayloadTooLarge as soon as the limit is exceeded, without reading on."""
    if len(length) > CONTENT_LENGTH_MAX_DIGITS or (length.isdigit() and int(length) > PAYLOAD_MAX_BYTES):
        raise PayloadTooLarge
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    chunks = [body]
    size = len(body)
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if size > PAYLOAD_MAX_BYTES:
            raise PayloadTooLarge
        if not message.get("more_body", False):
            return body if len(chunks) == 1 else b"".join(chunks)
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
