"""Builds the gateway's ASGI application from routes, pages, error handlers and middleware."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import tallystick
from services.gateway.api import ROUTERS
from services.gateway.auth.session_records import SessionRecords
from services.gateway.auth.sessions import CSRF_HEADER, Sessions
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.change_feed import ChangeFeed
from services.gateway.dependencies import GatewayState
from services.gateway.metrics import MetricsMiddleware
from services.gateway.middleware import ProtectionMiddleware
from services.gateway.openapi import document
from services.gateway.pages.error_pages import add_error_pages, error_response
from services.gateway.pages.router import add_pages
from services.gateway.problem_details import add_problem_handlers
from services.gateway.rate_limits import RateLimits
from services.gateway.service_client import ServiceClient
from services.gateway.settings import GatewaySettings
from shared.runtime.health import health_routes
from shared.tuning import START_RETRY_SECONDS
from tallystick.client import Unreachable
from tallystick.tasks import end

NAME = "gateway"


def make_application(settings: GatewaySettings) -> ASGIApp:
    """Build the whole gateway; its lifespan opens and closes the NATS connection."""
    client = tallystick.connect(settings.nats_url.get_secret_value(), settings.subject_prefix, name=NAME)
    services = ServiceClient(client)
    state = GatewayState(
        settings,
        services,
        TokenVerifier(settings),
        Sessions.of(settings),
        SessionRecords(services),
        RateLimits.of(settings),
        ChangeFeed(client),
    )
    application = make_api(lifespan=lambda _: _lifespan(state))
    application.state.gateway = state
    add_pages(application, settings)
    add_error_pages(application)
    application.router.routes.extend(health_routes(lambda: _problems(state), settings, is_public=True))
    protected: ASGIApp = ProtectionMiddleware(
        application, settings, state.rate_limits, partial(error_response, application)
    )
    if settings.cors_origins:
        protected = CORSMiddleware(
            protected,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", CSRF_HEADER],
        )
    return MetricsMiddleware(protected)


def make_api(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """Build the API's routes and their OpenAPI document, without the state that requests need."""
    application = FastAPI(
        title="Tallystick",
        version=document.VERSION,
        docs_url=None,  # the documentation pages load scripts from other hosts
        redoc_url=None,
        openapi_url=document.PATH,
        lifespan=lifespan,
    )
    for router in ROUTERS:
        application.include_router(router)
    add_problem_handlers(application)
    document.install(application)
    return application


@asynccontextmanager
async def _lifespan(state: GatewayState) -> AsyncIterator[None]:
    task = asyncio.create_task(_connect_and_follow(state))
    try:
        yield
    finally:
        await end(task)
        await state.services.client.aclose()


async def _connect_and_follow(state: GatewayState) -> None:
    """Connect to NATS, retrying until it is up, and read the change feed; nats-py reconnects by itself."""
    while True:
        try:
            await state.services.client.connection.open()
        except Unreachable:
            await asyncio.sleep(START_RETRY_SECONDS)
        else:
            break
    await state.change_feed.run()


async def _problems(state: GatewayState) -> dict[str, str]:
    problems = {}
    if not state.services.client.connection.connected:
        problems["nats"] = "not connected"
    elif not state.change_feed.is_reading:
        problems["feed"] = "cannot be read"
    return problems
