"""Error responses outside of page routes: an HTML page for browsers, problem JSON for programs."""

from typing import cast

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from services.gateway.pages.dependencies import page_context
from services.gateway.pages.error_messages import problem_page, wants_page
from services.gateway.pages.page_route import current_caller
from services.gateway.problem_details import ProblemError, problem_from_http_exception, problem_response


def add_error_pages(application: FastAPI) -> None:
    """Register the handler that answers HTTP exceptions, such as an unknown path."""

    async def on_http_exception(request: Request, exception: Exception) -> Response:
        error = problem_from_http_exception(cast(HTTPException, exception))
        if not _wants_page(request):
            return problem_response(error)
        response = problem_page(request, page_context(request), error, await current_caller(request))
        response.headers.update(error.headers)
        return response

    application.add_exception_handler(HTTPException, on_http_exception)


def error_response(application: FastAPI, scope: Scope, error: ProblemError) -> Response:
    """Return the response of the middleware to an error: a page for browsers, else a problem."""
    request = Request({**scope, "app": application})
    if not _wants_page(request):
        return problem_response(error)
    response = problem_page(request, page_context(request), error)
    response.headers.update(error.headers)
    return response


def _wants_page(request: Request) -> bool:
    return wants_page(request.url.path, request.headers.get("accept", ""))
