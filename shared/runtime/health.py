"""Health endpoints: a worker is ready when it can handle the messages that arrive."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.messaging.jetstream_consumers import Durable, JetStreamConsumers
from shared.messaging.relay import Relay, outbox_lag_seconds
from shared.messaging.request_server import RequestServer
from shared.observability.metrics import COMPONENT_UP, CONSUMER_LAG, OUTBOX_LAG
from shared.settings import CommonSettings
from shared.tuning import READY_CHECK_TIMEOUT_SECONDS

FindProblems = Callable[[], Awaitable[dict[str, str]]]
"""Returns the problems that keep a worker from working, by component."""


@dataclass(slots=True)
class Health:
    """Checks everything that one worker needs."""

    service: str
    engine: AsyncEngine
    consumers: JetStreamConsumers
    relay: Relay
    requests: RequestServer
    started: bool = False

    async def problems(self) -> dict[str, str]:
        """Find the problems that keep the worker from working, by component; empty when it is ready."""
        checks = {"database": self._check_database(), "nats": self._check_nats()}
        checks |= {
            f"consumer {durable.name}": self._check_durable(durable) for durable in self.consumers.durables
        }
        found = await asyncio.gather(*(_within_timeout(check) for check in checks.values()))
        problems = {about: problem for about, problem in zip(checks, found, strict=True) if problem}
        for component in checks:
            COMPONENT_UP.labels(self.service, component).set(component not in problems)
        if self.relay.problem:
            problems["relay"] = self.relay.problem
        if not self.started:
            problems["worker"] = "has not started consuming yet"
        return problems

    async def _check_database(self) -> str | None:
        # The lag is read from the tables, because a relay that has no lock or no NATS does not know it.
        async with self.engine.connect() as connection:
            OUTBOX_LAG.labels(self.service).set(await outbox_lag_seconds(connection, self.relay.schema))
        return None

    async def _check_nats(self) -> str | None:
        if self.started and not self.requests.is_connected:
            return "brings no requests"
        if self.started and not self.requests.answers.is_connected:
            return "takes no answers"
        ping = self.consumers.broker.ping(timeout=READY_CHECK_TIMEOUT_SECONDS)
        return None if await ping else "not connected"

    async def _check_durable(self, durable: Durable) -> str | None:
        if not self.started:
            return None
        # The server is asked each time, because a pull does not report that its consumer was deleted.
        stream = self.consumers.broker.config.connection_state.stream
        info = await stream.consumer_info(durable.stream, durable.name)
        pending = (info.num_pending or 0) + (info.num_ack_pending or 0)
        CONSUMER_LAG.labels(self.service, durable.name).set(pending)
        return None


def health_routes(
    find_problems: FindProblems, settings: CommonSettings, *, is_public: bool = False
) -> list[Route]:
    """Build the routes `/live` (the process runs), `/ready` (it can work) and `/metrics`.

    `/metrics` requires METRICS_TOKEN if one is set. Without a token it is open, unless the port `is_public`:
    then there is no such route.
    """
    token = settings.metrics_token

    async def live(_: HttpRequest) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: HttpRequest) -> Response:
        problems = await find_problems()
        status = "not ready" if problems else "ready"
        return JSONResponse({"status": status, "problems": problems}, status_code=503 if problems else 200)

    async def metrics(request: HttpRequest) -> Response:
        if token is not None and not _is_bearer(request, token.get_secret_value()):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        await find_problems()  # also updates the lag of consumers and outbox
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/live", live), Route("/ready", ready)]
    if token is not None or not is_public:
        routes.append(Route("/metrics", metrics))
    return routes


def _is_bearer(request: HttpRequest, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


async def _within_timeout(check: Awaitable[str | None]) -> str | None:
    try:
        return await asyncio.wait_for(check, READY_CHECK_TIMEOUT_SECONDS)
    except Exception as error:  # noqa: BLE001 - any error is the problem to report
        return str(error) or type(error).__name__
