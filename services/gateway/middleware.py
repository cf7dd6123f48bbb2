"""Middleware for every request: security headers, limits on the body's size and time, and rate limits.

It is plain ASGI outside FastAPI, so that it also covers error responses and streams.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problem_details import ProblemError
from services.gateway.rate_limits import RateLimits
from services.gateway.settings import GatewaySettings

PAYLOAD_MAX_BYTES = 524_288
"""Browsers and host applications send forms and small JSON bodies."""
BODY_SECONDS = 10.0
"""How long a body may take to arrive; half a megabyte takes far less, even over a slow mobile connection."""
LINGER_MAX_BYTES = 4 * 1024 * 1024
LINGER_SECONDS = 2.0
"""How much of a body that is too large is read and discarded, and for how long: if the connection were closed
while the client is sending, the client would not receive the response."""
UNLIMITED_PATHS = ("/live", "/ready", "/metrics")
"""Polled by the platform that runs the process, and therefore not rate limited."""
STRIPE_PAGES = "https://checkout.stripe.com https://billing.stripe.com"
TOO_SLOW = ProblemError("request_timeout", f"The body did not arrive within {BODY_SECONDS:g} seconds.")
TOO_LARGE = ProblemError("payload_too_large", f"A body has at most {PAYLOAD_MAX_BYTES} bytes.")


ErrorResponder = Callable[[Scope, ProblemError], Response]


class _TooLarge(Exception):
    pass


class _Disconnected(Exception):
    pass


class ProtectionMiddleware:
    """Wraps the gateway's ASGI application."""

    def __init__(
        self,
        inner: ASGIApp,
        settings: GatewaySettings,
        rate_limits: RateLimits,
        error_response: ErrorResponder,
    ) -> None:
        self._inner = inner
        self._rates = rate_limits
        self._error_response = error_response
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in security_headers(settings).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or reject it."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in own),
                ]
            await send(message)

        try:
            if scope["path"] not in UNLIMITED_PATHS:
                self._rates.count_address(scope)
            async with asyncio.timeout(BODY_SECONDS):
                inner_receive = await _with_whole_body(scope, receive)
        except _Disconnected:
            return
        except TimeoutError:
            response = self._error_response(scope, TOO_SLOW)
            response.headers["Connection"] = "close"
            await response(scope, receive, send_with_headers)
        except _TooLarge:
            await self._reject_body(scope, receive, send_with_headers)
        except ProblemError as error:
            await self._error_response(scope, error)(scope, receive, send_with_headers)
        else:
            await self._inner(scope, inner_receive, send_with_headers)

    async def _reject_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._error_response(scope, TOO_LARGE)
        response.headers["Connection"] = "close"
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await _discard_body(receive)
        await response(scope, receive, send)


def security_headers(settings: GatewaySettings) -> dict[str, str]:
    """Return the security headers that every response has."""
    api = urlsplit(settings.stripe_api_base)
    # Forms redirect to Stripe's pages, or in tests to those of the stand-in for Stripe.
    stripe = STRIPE_PAGES if api.hostname == "api.stripe.com" else f"{api.scheme}://{api.netloc}"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; form-action 'self' {stripe}; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
    }
    if settings.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


async def _with_whole_body(scope: Scope, receive: Receive) -> Receive:
    """Read the body and return a `receive` that gives it in one piece. Raises _TooLarge and _Disconnected."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return receive
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if length.isdigit() and (len(length) > 18 or int(length) > PAYLOAD_MAX_BYTES):
        raise _TooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > PAYLOAD_MAX_BYTES:
            raise _TooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            break
    whole: list[Message] = [{"type": "http.request", "body": b"".join(chunks), "more_body": False}]

    async def receive_whole() -> Message:
        return whole.pop() if whole else await receive()

    return receive_whole


async def _discard_body(receive: Receive) -> None:
    discarded = 0
    while discarded < LINGER_MAX_BYTES:
        message = await receive()
        if not message.get("more_body", False):
            return
        discarded += len(message["body"])
