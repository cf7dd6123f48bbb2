"""The gateway's ASGI application: routes, problems, protection, and one connection to NATS for all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import tallystick
from services.gateway import openapi
from services.gateway.api import ROUTERS
from services.gateway.auth.session_records import SessionRecords
from services.gateway.auth.sessions import CSRF_HEADER, Sessions
from services.gateway.auth.tokens import Tokens
from services.gateway.change_feed import LiveFeed
from services.gateway.dependencies import Parts
from services.gateway.middleware import Protection
from services.gateway.pages.error_pages import add_lost_pages, error_response
from services.gateway.pages.router import add_pages
from services.gateway.problem_details import answer_with_problems
from services.gateway.rate_limits import RateLimits
from services.gateway.service_client import Billing
from services.gateway.settings import GatewaySettings
from shared.runtime.health import health_routes
from shared.tuning import START_RETRY_SECONDS
from tallystick.client import Unreachable
from tallystick.tasks import end

NAME = "gateway"


def make_application(settings: GatewaySettings) -> ASGIApp:
    """The gateway, whose lifespan is the worker's life."""
    client = tallystick.connect(settings.nats_url.get_secret_value(), settings.subject_prefix, name=NAME)
    billing = Billing(client)
    parts = Parts(
        settings,
        billing,
        Tokens(settings),
        Sessions.of(settings),
        SessionRecords(billing),
        RateLimits.of(settings),
        LiveFeed(client),
    )
    application = routed(lifespan=lambda _: _at_work(parts))
    application.state.parts = parts
    add_pages(application, settings)
    add_lost_pages(application)
    application.router.routes.extend(health_routes(lambda: _problems(parts), settings, is_public=True))
    protected: ASGIApp = Protection(application, settings, parts.rates, partial(error_response, application))
    if settings.cors_origins:
        protected = CORSMiddleware(
            protected,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", CSRF_HEADER],
        )
    return protected


def routed(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """The routes and how they are described, without anything behind them."""
    application = FastAPI(
        title="Tallystick",
        version=openapi.VERSION,
        docs_url=None,  # its page loads scripts of others
        redoc_url=None,
        openapi_url=openapi.PATH,
        lifespan=lifespan,
    )
    for router in ROUTERS:
        application.include_router(router)
    answer_with_problems(application)
    openapi.describe(application)
    return application


@asynccontextmanager
async def _at_work(parts: Parts) -> AsyncIterator[None]:
    working = asyncio.create_task(_connect_and_follow(parts))
    try:
        yield
    finally:
        await end(working)
        await parts.billing.client.aclose()


async def _connect_and_follow(parts: Parts) -> None:
    """NATS may start after the gateway; once connected, the connection comes back by itself."""
    while True:
        try:
            await parts.billing.client.connection.open()
        except Unreachable:
            await asyncio.sleep(START_RETRY_SECONDS)
        else:
            break
    await parts.live.run()


async def _problems(parts: Parts) -> dict[str, str]:
    problems = {}
    if not parts.billing.client.connection.connected:
        problems["nats"] = "not connected"
    elif not parts.live.listening:
        problems["feed"] = "cannot be read"
    return problems
