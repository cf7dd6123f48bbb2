"""The gateway by itself, in the test's process and without NATS: for what is decided before it asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

from services.gateway.application import make_application
from services.gateway.settings import GatewaySettings
from tests.support.gateway import JWT_SECRET, SESSION_SECRET

URL = "https://billing.example"


def settings(**other: Any) -> GatewaySettings:
    """Settings of a gateway whose NATS is away."""
    given: dict[str, Any] = {
        "nats_url": SecretStr("nats://gateway:secret@127.0.0.1:1"),
        "gateway_jwt_secret": SecretStr(JWT_SECRET),
        "gateway_session_secret": SecretStr(SESSION_SECRET),
        "gateway_public_url": URL,
        "gateway_rate_per_customer": 1_000_000,
        "gateway_rate_per_address": 1_000_000,
    }
    return GatewaySettings(**given | other)


@cache
def _usual() -> ASGIApp:
    """One application for all tests that need nothing special; making one takes a while."""
    return make_application(settings())


@asynccontextmanager
async def alone(**other: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, or a program, in front of such a gateway."""
    transport = httpx.ASGITransport(make_application(settings(**other)) if other else _usual())
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client
