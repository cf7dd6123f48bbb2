"""The webhooks worker as it is, with one more route beside it: the floor, which answers 200 and looks at nothing."""

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from services.webhooks import app
from services.webhooks.service import service
from shared.runtime import Runtime
from shared.settings import Settings
from shared.worker import run

FLOOR = "/floor"
BODY = b'{"received":true}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


class Floor:
    """The least that a route of this server can do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


def routes(runtime: Runtime, settings: Settings) -> list[BaseRoute]:
    """The worker's own and the floor."""
    return [*app.routes(runtime, settings), Route(FLOOR, Floor(), methods=["POST"])]


if __name__ == "__main__":
    run(service, provide=app.provide, routes=routes)
