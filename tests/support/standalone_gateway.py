"""The gateway alone, in the test's process and without NATS: for decisions it makes by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from services.gateway.application import make_application
from services.gateway.settings import GatewaySettings
from tests.support.gateway import JWT_SECRET, SESSION_SECRET
from tests.support.servers import NatsServer
from tests.support.waiting import eventually

URL = "https://billing.example"


def settings(**other: Any) -> GatewaySettings:
    """Settings of a gateway whose NATS is unreachable."""
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


@asynccontextmanager
async def with_sessions(server: NatsServer, **other: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in front of a gateway that has NATS for its sessions, and no service behind it."""
    application = make_application(settings(nats_url=SecretStr(server.users["gateway"]), **other))
    async with (
        _at_work(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=URL) as client,
    ):
        await eventually(lambda: _is_ready(client))
        yield client


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200


@asynccontextmanager
async def _at_work(application: ASGIApp) -> AsyncIterator[None]:
    """Run the lifespan of an application around the block."""
    to_it: asyncio.Queue[Message] = asyncio.Queue()
    from_it: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    living = asyncio.ensure_future(application(scope, to_it.get, from_it.put))
    for moment in ("startup", "shutdown"):
        await to_it.put({"type": f"lifespan.{moment}"})
        assert (await from_it.get())["type"] == f"lifespan.{moment}.complete"
        if moment == "startup":
            yield
    await living
