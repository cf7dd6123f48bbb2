"""The HTTP ingress: what Stripe posts to. 200 means committed, everything else means send again or give up.

Plain ASGI: this is the busiest route of the product, and it needs nothing of a framework's request object.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from services.webhooks.domain.stripe_event import NotAnEvent
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
CLOSING = [(b"connection", b"close")]
"""A sender whose body was not read to its end cannot use the connection again."""
BODY_SECONDS = 10.0
"""How long a payload may take to arrive; Stripe sends one at once."""
LINGER_MAX_BYTES = 4 * 1024 * 1024
LINGER_SECONDS = 2.0
"""Of a body that is too large, so much is still received and thrown away: a connection that is closed while
the other side is sending takes the answer with it."""
CONTENT_LENGTH_MAX_DIGITS = 18

UNSET = "STRIPE_WEBHOOK_SECRET is not set: signatures cannot be checked."
NOT_STORED = "The event could not be stored now; send it again."


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and how it is counted."""

    status: int
    outcome: str
    body: bytes
    headers: Headers

    @classmethod
    def of(cls, status: int, outcome: str, body: dict[str, Any], headers: Headers) -> "Answer":
        """An answer with a JSON body."""
        encoded = orjson.dumps(body)
        length = (b"content-length", str(len(encoded)).encode())
        return cls(status, outcome, encoded, [(b"content-type", b"application/json"), length, *headers])

    async def send(self, send: Send, receive: Receive) -> None:
        """Send it, and close the connection gently where the request was not read to its end."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if self is not TOO_LARGE:
            await send({"type": "http.response.body", "body": self.body})
            return
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            await asyncio.wait_for(_throw_away_the_rest(receive), LINGER_SECONDS)
        await send({"type": "http.response.body", "body": b""})


def _refusal(status: int, code: str, message: str, headers: Headers | None = None) -> Answer:
    outcome = "failed" if status >= 500 else "rejected"
    return Answer.of(status, outcome, {"error": {"code": code, "message": message}}, headers or [])


STORED = Answer.of(200, "succeeded", {"received": True}, [])
TOO_LARGE = _refusal(413, "payload_too_large", f"An event has at most {PAYLOAD_MAX_BYTES} bytes.", CLOSING)
TOO_SLOW = _refusal(408, "request_timeout", f"The body did not arrive within {BODY_SECONDS:g} s.", CLOSING)
NOT_CONFIGURED = _refusal(503, "webhook_secret_missing", UNSET)


class TooLarge(Exception):
    """The body is over the limit."""


class Gone(Exception):
    """The sender hung up before its request was complete."""


class StripeIngress:
    """The ASGI application behind `POST /api/v1/webhooks/stripe`."""

    def __init__(self, verifier: Verifier | None, ingest: EventWriter) -> None:
        self._verifier = verifier
        self._ingest = ingest
        self._counters = {
            outcome: HANDLED.labels("webhooks", HANDLER, outcome)
            for outcome in ("succeeded", "rejected", "failed")
        }
        self._duration = DURATION.labels("webhooks", HANDLER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one event in."""
        started = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except Gone:
            return
        await answer.send(send, receive)
        self._counters[answer.outcome].inc()
        self._duration.observe(time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        signature, length = _headers(scope)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                payload = await _body(receive, length)
        except TooLarge:
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
            return _refusal(400, "invalid_signature", str(error))
        except NotAnEvent as error:
            log.warning("payload refused", reason=str(error))
            return _refusal(400, "invalid_event", str(error))
        try:
            await self._ingest.store(event)
        except Unavailable as error:
            log.warning("event not stored", event_id=event.event_id, reason=str(error))
            return _refusal(503, "unavailable", NOT_STORED)
        except Exception:
            log.exception("event not stored", event_id=event.event_id)
            return _refusal(503, "unavailable", NOT_STORED)
        return STORED


def _headers(scope: Scope) -> tuple[str | None, bytes]:
    signature, length = None, b""
    for name, value in scope["headers"]:
        if name == b"stripe-signature":
            signature = value.decode("latin-1")
        elif name == b"content-length":
            length = value
    return signature, length


async def _throw_away_the_rest(receive: Receive) -> None:
    thrown_away = 0
    while thrown_away < LINGER_MAX_BYTES:
        message = await receive()
        if not message.get("more_body", False):
            return
        thrown_away += len(message["body"])


async def _body(receive: Receive, length: bytes) -> bytes:
    """The request's body; raises TooLarge as soon as the limit is passed, without reading on."""
    if len(length) > CONTENT_LENGTH_MAX_DIGITS or (length.isdigit() and int(length) > PAYLOAD_MAX_BYTES):
        raise TooLarge
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    chunks = [body]
    size = len(body)
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        if size > PAYLOAD_MAX_BYTES:
            raise TooLarge
        if not message.get("more_body", False):
            return body if len(chunks) == 1 else b"".join(chunks)
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
