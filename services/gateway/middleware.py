"""Around every request: the headers that keep browsers safe, the size of bodies, the rate of an address.

Plain ASGI, outside of the framework, so that it covers errors and streams too.
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
"""What a browser or a host application sends is a form or two."""
BODY_SECONDS = 10.0
"""How long a body may take to arrive: forms of half a megabyte come in far less, also over a telephone."""
LINGER_MAX_BYTES = 4 * 1024 * 1024
LINGER_SECONDS = 2.0
"""Of a body that is too large so much is received and thrown away: a connection that is closed while the
other side is sending takes the answer with it."""
NOT_COUNTED = ("/live", "/ready", "/metrics")
"""Asked by the platform around the worker, often."""
STRIPE_PAGES = "https://checkout.stripe.com https://billing.stripe.com"
TOO_SLOW = ProblemError("request_timeout", f"The body did not arrive within {BODY_SECONDS:g} seconds.")
TOO_LARGE = ProblemError("payload_too_large", f"A body has at most {PAYLOAD_MAX_BYTES} bytes.")


ErrorResponder = Callable[[Scope, ProblemError], Response]


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    pass


class Protection:
    """An ASGI application around the gateway's own."""

    def __init__(
        self, inner: ASGIApp, settings: GatewaySettings, rates: RateLimits, error_response: ErrorResponder
    ) -> None:
        self._inner = inner
        self._rates = rates
        self._error_response = error_response
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in security_headers(settings).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in own),
                ]
            await send(message)

        try:
            if scope["path"] not in NOT_COUNTED:
                self._rates.count_address(scope)
            async with asyncio.timeout(BODY_SECONDS):
                inner_receive = await _with_whole_body(scope, receive)
        except _Gone:
            return
        except TimeoutError:
            response = self._error_response(scope, TOO_SLOW)
            response.headers["Connection"] = "close"
            await response(scope, receive, send_safely)
        except _TooLarge:
            await self._refuse_body(scope, receive, send_safely)
        except ProblemError as refused:
            await self._error_response(scope, refused)(scope, receive, send_safely)
        else:
            await self._inner(scope, inner_receive, send_safely)

    async def _refuse_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._error_response(scope, TOO_LARGE)
        response.headers["Connection"] = "close"
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await _throw_away_the_rest(receive)
        await response(scope, receive, send)


def security_headers(settings: GatewaySettings) -> dict[str, str]:
    """What every response tells browsers."""
    api = urlsplit(settings.stripe_api_base)
    # Where a form may lead in the end: a plan is bought on Stripe's page, or on the stand-in's.
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
    """`receive` with the body in one piece. Raises _TooLarge, without reading on, and _Gone."""
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
            raise _Gone
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


async def _throw_away_the_rest(receive: Receive) -> None:
    thrown_away = 0
    while thrown_away < LINGER_MAX_BYTES:
        message = await receive()
        if not message.get("more_body", False):
            return
        thrown_away += len(message["body"])
