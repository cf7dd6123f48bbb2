"""What becomes of a refusal on a page: a page that says so, instead of a problem in JSON."""

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
from services.gateway.dependencies import parts_of
from services.gateway.pages.billing_page import show
from services.gateway.pages.dependencies import parts_of_pages
from services.gateway.pages.error_messages import problem_page
from services.gateway.problem_details import ProblemError, invalid_message

log = structlog.get_logger()

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose refusals are pages of their own."""

    def get_route_handler(self) -> Handler:
        """The route's handler, with refusals told."""
        handle = super().get_route_handler()

        async def error_response(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as refused:
                return await self.told(request, refused)
            except (RequestValidationError, ValidationError) as error:
                return await self.told(request, invalid_message(error.errors()))
            except Exception:
                log.exception("a page broke", path=request.url.path)
                return await PageRoute.told(self, request, ProblemError("unavailable"))

        return error_response

    async def told(self, request: Request, refused: ProblemError) -> Response:
        """The refusal as a page."""
        return problem_page(request, parts_of_pages(request), refused, await caller_of(request))


class ActionRoute(PageRoute):
    """A form of the billing page: what it is refused is told there."""

    async def told(self, request: Request, refused: ProblemError) -> Response:
        """The billing page with the refusal on it; to whoever may not see that, a page of its own."""
        caller = await caller_of(request)
        # What a form from elsewhere has typed is not put in front of anybody.
        if caller is None or refused.code == "csrf_failed":
            return await super().told(request, refused)
        form = await request.form() if request.method == "POST" else {}
        typed = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            return await show(request, caller, parts_of_pages(request), refused=refused, typed=typed)
        except ProblemError:  # not even the page can be had
            return await super().told(request, refused)


async def caller_of(request: Request) -> Caller | None:
    """Whose page it is; None where nobody is signed in."""
    try:
        return await identify(request, await parts_of(request), changes=False)
    except ProblemError:
        return None
