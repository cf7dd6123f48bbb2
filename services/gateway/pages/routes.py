"""The pages' routes, their scripts and styles, the choice of language, and signing out."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.gateway.authentication import identify
from services.gateway.pages import actions, billing, choosing, members, seating
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.parts import Shown
from services.gateway.pages.rendering import STATIC, STATIC_URL, Templates
from services.gateway.pages.routing import PageRoute
from services.gateway.pages.words import COOKIE, LANGUAGES, words_for
from services.gateway.parts import Gateway
from services.gateway.settings import GatewaySettings

LANGUAGE_SECONDS = 31_536_000
"""A year: whoever has chosen a language keeps it."""
FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.post("/language")
async def choose_language(
    request: Request,
    gateway: Gateway,
    language: Annotated[str, Form(max_length=10)],
    next_page: Annotated[str, Form(max_length=500)] = "/billing",
) -> Response:
    """Remember the language that somebody wants the pages in."""
    page = urlsplit(next_page)
    inside = next_page.startswith("/") and not next_page.startswith(("//", "/\\")) and not page.netloc
    response = RedirectResponse(next_page if inside else "/billing", SEE_OTHER)
    if language in LANGUAGES:
        response.set_cookie(
            COOKIE,
            language,
            max_age=LANGUAGE_SECONDS,
            secure=gateway.settings.is_secure,
            httponly=True,
            samesite="lax",
        )
    return response


@router.post("/sign-out")
async def sign_out(request: Request, gateway: Gateway, shown: Shown) -> Response:
    """End the session, and say so."""
    await identify(request, gateway)
    words = words_for(request)
    response = shown.templates.page(
        request,
        "problem.html",
        caller=None,
        heading=words.say("signed_out.heading"),
        problem=words.say("signed_out.done"),
        sign_in_url=shown.sign_in_url,
    )
    gateway.sessions.end(response)
    return response


class _Lasting(StaticFiles):
    """Files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept; the first part of its path is the content's fingerprint."""
        response = await super().get_response(path.partition("/")[2], scope)
        response.headers["Cache-Control"] = FOREVER
        return response


def add_pages(application: FastAPI, settings: GatewaySettings) -> None:
    """Give the gateway its pages."""
    application.state.templates = Templates.of(settings.gateway_application_name)
    for one in (billing.router, actions.router, choosing.router, seating.router, members.router, router):
        application.include_router(one)
    application.router.routes.append(Mount(STATIC_URL, _Lasting(directory=STATIC), name="static"))
