"""Metrics of HTTP requests, for Prometheus."""

import time

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.observability.metrics import DURATION_BUCKETS_SECONDS

REQUESTS = Counter(
    "tallystick_http_requests_total",
    "HTTP requests, by route and status.",
    ["method", "route", "status"],
)
"""`route` is the path with placeholders, `(none)` where no route matched."""
DURATION = Histogram(
    "tallystick_http_seconds",
    "From a request to the start of its response.",
    ["method", "route"],
    buckets=DURATION_BUCKETS_SECONDS,
)
NO_ROUTE = "(none)"


class MetricsMiddleware:
    """Counts and times the responses of an ASGI application; it has to be the outermost middleware."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record its response."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _record(scope, message["status"], time.perf_counter() - started)
            await send(message)

        await self._inner(scope, receive, send_recorded)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", NO_ROUTE)
    # Any method may be requested of a path that does not exist.
    method = scope["method"] if route != NO_ROUTE else "any"
    REQUESTS.labels(method, route, str(status)).inc()
    DURATION.labels(method, route).observe(seconds)
