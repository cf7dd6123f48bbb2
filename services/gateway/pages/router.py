"""The pages' routes, their scripts and styles, and the choice of language."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.gateway.dependencies import Gateway
from services.gateway.pages import (
    admin,
    billing,
    billing_forms,
    change_confirmation,
    live_updates,
    members,
    session,
    team_forms,
)
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.i18n import COOKIE, LANGUAGES
from services.gateway.pages.page_route import PageRoute
from services.gateway.pages.templating import STATIC, STATIC_URL, Templates
from services.gateway.settings import GatewaySettings

LANGUAGE_SECONDS = 31_536_000
"""A year: whoever has chosen a language keeps it."""
NEXT_PAGE_MAX_CHARACTERS = 2_000
"""Of a page with two cursors in its address."""
FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.post("/language")
async def choose_language(
    gateway: Gateway,
    language: Annotated[str, Form(max_length=10)],
    next_page: Annotated[str, Form(max_length=NEXT_PAGE_MAX_CHARACTERS)] = "/billing",
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


ROUTERS: tuple[APIRouter, ...] = (
    billing.router,
    live_updates.router,
    billing_forms.router,
    change_confirmation.router,
    team_forms.router,
    members.router,
    session.router,
    admin.router,
    router,
)
"""Every page and form."""


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
    for one in ROUTERS:
        application.include_router(one)
    application.router.routes.append(Mount(STATIC_URL, _Lasting(directory=STATIC), name="static"))
