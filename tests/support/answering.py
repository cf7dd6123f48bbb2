"""A service's handlers answering requests over NATS, without the rest of a worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.messaging.answers import Answers
from shared.messaging.nats_connection import connect
from shared.messaging.request_server import RequestServer
from shared.messaging.service_runtime import Runtime
from tallystick.subjects import Subjects
from tests.support.servers import NatsServer


@asynccontextmanager
async def answering(runtime: Runtime, server: NatsServer) -> AsyncIterator[None]:
    """Answer the service's requests as its NATS users."""
    name = runtime.service.name
    answers = Answers(await connect(server.users[f"{name}_answers"], f"{name}-answers"))
    requests = RequestServer(runtime, Subjects(), answers)
    await requests.start(await connect(server.users[name], f"{name}-requests"))
    try:
        yield
    finally:
        await requests.stop()
        await answers.close()
