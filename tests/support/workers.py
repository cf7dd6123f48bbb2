"""Workers running inside the test's own event loop, with their HTTP server.

Against real Postgres and NATS.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.routing import Route

from sandbox.ports import free_port
from shared.messaging.service import Service
from shared.messaging.service_runtime import Runtime
from shared.runtime.worker import OwnSettings, Worker
from tests.support.waiting import eventually


@asynccontextmanager
async def running(
    service: Service,
    settings: OwnSettings,
    *,
    provide: Callable[[OwnSettings], list[Any]] = lambda _: [],
    routes: Callable[[Runtime, OwnSettings], list[Route]] = lambda _, __: [],
    ready: bool = True,
) -> AsyncIterator[tuple[Worker[OwnSettings], httpx.AsyncClient]]:
    """A worker, ready, and an HTTP client to it."""
    worker = Worker(service, settings, provide, routes)
    port = free_port()
    config = uvicorn.Config(worker.application(), host="127.0.0.1", port=port, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            if ready:
                await eventually(lambda: is_ready(client))
            yield worker, client
        finally:
            server.should_exit = True
            await serving


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Whether the worker says that it can do its work."""
    answer = await client.get("/ready")
    if answer.status_code != 200:
        raise AssertionError(answer.text)
    return True
