"""What a browser sees where no route tells it: of a page that is not there, or of too many requests."""

from typing import cast

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from services.gateway.pages.dependencies import parts_of_pages
from services.gateway.pages.error_messages import problem_page, wants_page
from services.gateway.pages.page_route import caller_of
from services.gateway.problem_details import ProblemError, problem_response, refusal_of


def add_lost_pages(application: FastAPI) -> None:
    """Have browsers that ask for what there is not shown a page; programs get the problem."""

    async def lost(request: Request, error: Exception) -> Response:
        refused = refusal_of(cast(HTTPException, error))
        if not _wants_page(request):
            return problem_response(refused)
        response = problem_page(request, parts_of_pages(request), refused, await caller_of(request))
        response.headers.update(refused.headers)
        return response

    application.add_exception_handler(HTTPException, lost)


def error_response(application: FastAPI, scope: Scope, refused: ProblemError) -> Response:
    """A refusal from before the application: a page for a browser, for others a problem."""
    request = Request({**scope, "app": application})
    if not _wants_page(request):
        return problem_response(refused)
    response = problem_page(request, parts_of_pages(request), refused)
    response.headers.update(refused.headers)
    return response


def _wants_page(request: Request) -> bool:
    return wants_page(request.url.path, request.headers.get("accept", ""))
