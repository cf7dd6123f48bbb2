"""The route class of the pages: it answers errors with an HTML page instead of problem JSON."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway.auth.authentication import identify
from services.gateway.auth.principal import Caller
from services.gateway.dependencies import state_of
from services.gateway.pages.dependencies import page_context
from services.gateway.pages.error_messages import problem_page
from services.gateway.problem_details import ProblemError, invalid_message

log = structlog.get_logger()

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are rendered as a page of their own."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler, with its errors rendered."""
        handle = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                return await self.render_problem(request, error)
            except (RequestValidationError, ValidationError) as error:
                return await self.render_problem(request, invalid_message(error.errors()))
            except Exception:
                log.exception("a page broke", path=request.url.path)
                return await PageRoute.render_problem(self, request, ProblemError("unavailable"))

        return handle_errors

    async def render_problem(self, request: Request, error: ProblemError) -> Response:
        """Render an error as a page."""
        return problem_page(request, page_context(request), error, await current_caller(request))


async def current_caller(request: Request) -> Caller | None:
    """Return the caller, or None if the request is not authenticated."""
    try:
        return await identify(request, state_of(request), changes=False)
    except ProblemError:
        return None
