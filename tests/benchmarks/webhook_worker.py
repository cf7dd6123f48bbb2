"""The webhooks worker as it is, and a route beside it for the floor: it receives requests and answers 200."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.webhooks import app
from services.webhooks.service import service
from services.webhooks.settings import WebhooksSettings
from shared.messaging.service_runtime import Runtime
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

FLOOR = "/floor"


async def floor(request: Request) -> Response:
    """An ordinary route of this server: it receives the request and looks at none of it."""
    await request.body()
    return Response()


def routes(runtime: Runtime, settings: WebhooksSettings) -> list[Route]:
    """The worker's own and the floor."""
    return [*app.routes(runtime, settings), Route(FLOOR, floor, methods=["POST"])]


if __name__ == "__main__":
    worker = make_worker(service, WebhooksSettings(), provide=app.provide, routes=routes)
    serve(worker, WebhooksSettings())
