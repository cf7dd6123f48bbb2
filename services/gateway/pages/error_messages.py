"""What went wrong, in the words of whoever reads it."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.gateway.auth.authentication import SAFE_METHODS
from services.gateway.auth.principal import Caller
from services.gateway.pages.dependencies import PageParts
from services.gateway.pages.i18n import Words
from services.gateway.pages.templating import STATIC_URL, page_words
from services.gateway.problem_details import ProblemError

SIGNED_OUT = ("unauthenticated", "link_expired")
HOME = "/billing"
"""Where whoever is lost goes on."""
NO_PAGES = ("/api/", STATIC_URL)


def in_words(refused: ProblemError, words: Words) -> str:
    """A refusal as a sentence that says what to do; the service's own words where there is none."""
    key = f"error.{refused.code}"
    if not words.knows(key):
        return refused.detail or words.say("error.unknown")
    facts = refused.details if isinstance(refused.details, dict) else {}
    try:
        return words.say(key, **_shown(facts, words))
    except (KeyError, IndexError):
        return words.say("error.unknown")


def problem_page(
    request: Request, shown: PageParts, refused: ProblemError, caller: Caller | None = None
) -> Response:
    """A page that holds nothing but a refusal, and the way to the other pages for whoever is signed in."""
    words = page_words(request, caller)
    if refused.code == "insufficient_scope" and request.method in SAFE_METHODS:
        refused = ProblemError("forbidden")
    key = f"problem.{refused.code}"
    here = HOME if request.method not in SAFE_METHODS or refused.code == "link_expired" else request.url.path
    return shown.templates.page(
        request,
        "problem.html",
        caller=caller,
        status=refused.status,
        here=here,
        heading=words.say(key if words.knows(key) else "problem.heading"),
        problem=in_words(refused, words),
        sign_in_url=shown.sign_in(here) if refused.code in SIGNED_OUT else None,
    )


def wants_page(path: str, accept: str) -> bool:
    """Whether a request came from somebody in front of a browser, who cannot read JSON."""
    return "text/html" in accept and not path.startswith(NO_PAGES)


def _shown(facts: dict[str, Any], words: Words) -> dict[str, Any]:
    numbers = {name: words.number(fact) for name, fact in facts.items() if type(fact) is int}
    return {"available": "0", "occupied": "–", **facts, **numbers}
