"""Collects the pages' routes, and serves their static files and the choice of language."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.gateway.dependencies import StateDep
from services.gateway.pages import (
    add_on_forms,
    admin,
    admin_payment_links,
    admin_refunds,
    billing_forms,
    billing_page,
    change_confirmation,
    license_forms,
    license_operations,
    live_updates,
    mail_preferences,
    members,
    monitoring,
    payouts_page,
    plan_change,
    recharge_form,
    seat_count_change,
    session,
    team_forms,
    usage_alert_form,
    webhook_pages,
)
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.i18n import COOKIE, LANGUAGES
from services.gateway.pages.page_route import PageRoute
from services.gateway.pages.templating import STATIC, STATIC_URL, Templates
from services.gateway.settings import GatewaySettings

LANGUAGE_SECONDS = 31_536_000
"""How long the choice of a language is kept: a year."""
NEXT_PAGE_MAX_CHARACTERS = 2_000
"""Long enough for a page with two cursors in its URL."""
FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.post("/language")
async def choose_language(
    state: StateDep,
    language: Annotated[str, Form(max_length=10)],
    next_page: Annotated[str, Form(max_length=NEXT_PAGE_MAX_CHARACTERS)] = "/billing",
) -> Response:
    """Store the chosen language in a cookie."""
    url = urlsplit(next_page)
    is_own_page = next_page.startswith("/") and not next_page.startswith(("//", "/\\")) and not url.netloc
    response = RedirectResponse(next_page if is_own_page else "/billing", SEE_OTHER)
    if language in LANGUAGES:
        response.set_cookie(
            COOKIE,
            language,
            max_age=LANGUAGE_SECONDS,
            secure=state.settings.is_secure,
            httponly=True,
            samesite="lax",
        )
    return response


ROUTERS: tuple[APIRouter, ...] = (
    billing_page.router,
    live_updates.router,
    billing_forms.router,
    add_on_forms.router,
    recharge_form.router,
    usage_alert_form.router,
    plan_change.router,
    seat_count_change.router,
    change_confirmation.router,
    team_forms.router,
    license_forms.router,
    members.router,
    payouts_page.router,
    mail_preferences.router,
    webhook_pages.router,
    session.router,
    admin.router,
    monitoring.router,
    license_operations.router,
    admin_payment_links.router,
    admin_refunds.router,
    router,
)
"""The routers of all pages and forms."""


class _ImmutableStaticFiles(StaticFiles):
    """Static files whose URL changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file that may be cached forever; its path starts with the content's fingerprint."""
        response = await super().get_response(path.partition("/")[2], scope)
        response.headers["Cache-Control"] = FOREVER
        return response


def add_pages(application: FastAPI, settings: GatewaySettings) -> None:
    """Add the pages to the application."""
    application.state.templates = Templates.of(settings.gateway_application_name)
    for pages_router in ROUTERS:
        application.include_router(pages_router)
    application.router.routes.append(
        Mount(STATIC_URL, _ImmutableStaticFiles(directory=STATIC), name="static")
    )
