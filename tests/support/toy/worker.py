"""The toy as a worker, for tests that reach it over NATS."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from nats.aio.client import Client

from shared.messaging.service import Service

Start = Callable[[Service], AbstractAsyncContextManager[Any]]
"""Starts a worker for a service; gives it and a way to ask it over HTTP."""


async def request(connection: Client, name: str, body: Any) -> dict[str, Any]:
    """The answer to a request to the toy."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer: dict[str, Any] = json.loads(
        (await connection.request(f"billing.requests.toy.{name}", data, timeout=5)).data
    )
    return answer
