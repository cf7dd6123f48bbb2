"""Error messages of the pages in the reader's language."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.gateway.auth.authentication import SAFE_METHODS
from services.gateway.auth.principal import Caller
from services.gateway.pages.dependencies import PageContext
from services.gateway.pages.i18n import Translations
from services.gateway.pages.templating import STATIC_URL, page_translations
from services.gateway.problem_details import ProblemError

SIGNED_OUT = ("unauthenticated", "link_expired")
HOME = "/billing"
"""The page that error pages lead to."""
NON_PAGE_PREFIXES = ("/api/", STATIC_URL)


def error_message(error: ProblemError, translations: Translations) -> str:
    """Return the translated message of an error; the service's own message if its code has no translation."""
    facts = error.details if isinstance(error.details, dict) else {}
    key = f"error.{error.code}"
    if error.code == "seats_in_use" and facts.get("members_reported", -1) == facts.get("occupied"):
        # A seat of the team that is taken back would not help.
        key = "error.seats_in_use_on_machines"
    if not translations.has_text(key):
        return error.detail or translations.translate("error.unknown")
    try:
        return translations.translate(key, **_format_facts(facts, translations))
    except (KeyError, IndexError):
        return translations.translate("error.unknown")


def problem_page(
    request: Request, page: PageContext, error: ProblemError, caller: Caller | None = None
) -> Response:
    """Render a page that contains only an error, and the navigation if the caller is signed in."""
    translations = page_translations(request, caller)
    if error.code == "insufficient_scope" and request.method in SAFE_METHODS:
        error = ProblemError("forbidden")
    key = f"problem.{error.code}"
    page_url = (
        HOME if request.method not in SAFE_METHODS or error.code == "link_expired" else request.url.path
    )
    return page.templates.render(
        request,
        "problem.html",
        caller=caller,
        status=error.status,
        page_url=page_url,
        heading=translations.translate(key if translations.has_text(key) else "problem.heading"),
        problem=error_message(error, translations),
        sign_in_url=page.sign_in_url(page_url) if error.code in SIGNED_OUT else None,
    )


def wants_page(path: str, accept: str) -> bool:
    """Return whether a request expects an HTML page instead of JSON."""
    return "text/html" in accept and not path.startswith(NON_PAGE_PREFIXES)


def _format_facts(facts: dict[str, Any], translations: Translations) -> dict[str, Any]:
    numbers = {name: translations.number(fact) for name, fact in facts.items() if type(fact) is int}
    return {"available": "0", "occupied": "–", **facts, **numbers}
