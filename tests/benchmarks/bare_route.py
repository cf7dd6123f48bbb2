"""The floor of the gateway: a FastAPI route that makes one NATS round trip and nothing else."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from nats.aio.client import Client

from sandbox.ports import HOST
from shared.messaging.nats_connection import connect
from tests.benchmarks.echo_worker import BARE

TIMEOUT_SECONDS = 5
BODY = b'{"status": "succeeded", "result": {"customer": {"type": "organization", "id": "acme"}}}'


@asynccontextmanager
async def connected(application: FastAPI) -> AsyncIterator[None]:
    """One connection to NATS for all requests."""
    connection = await connect(sys.argv[2], "bare")
    application.state.nats = connection
    yield
    await connection.close()


application = FastAPI(lifespan=connected)


@application.get("/")
async def round_trip(request: Request) -> dict[str, Any]:
    """Ask the echo, and say that it answered."""
    nats: Client = request.app.state.nats
    answer = await nats.request(BARE, BODY, timeout=TIMEOUT_SECONDS)
    return {"answer": answer.data.decode()}


if __name__ == "__main__":
    uvicorn.run(
        application, host=HOST, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False
    )
