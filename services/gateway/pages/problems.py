"""What went wrong, in the words of whoever reads it."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.gateway.pages.parts import PageParts
from services.gateway.pages.words import Words, words_for
from services.gateway.problems import Refused


def in_words(refused: Refused, words: Words) -> str:
    """A refusal as a sentence that says what to do; the service's own words where there is none."""
    key = f"error.{refused.code}"
    if not words.knows(key):
        return refused.detail or words.say("error.unknown")
    facts = refused.details if isinstance(refused.details, dict) else {}
    try:
        return words.say(key, **_shown(facts, words))
    except (KeyError, IndexError):
        return words.say("error.unknown")


def problem_page(request: Request, shown: PageParts, refused: Refused) -> Response:
    """A page that holds nothing but a refusal."""
    words = words_for(request)
    kind = "signed_out" if refused.code == "unauthenticated" else "problem"
    return shown.templates.page(
        request,
        "problem.html",
        caller=None,
        status=refused.status,
        heading=words.say(f"{kind}.heading"),
        problem=in_words(refused, words),
        sign_in_url=shown.sign_in_url if kind == "signed_out" else None,
    )


def _shown(facts: dict[str, Any], words: Words) -> dict[str, Any]:
    numbers = {name: words.number(fact) for name, fact in facts.items() if type(fact) is int}
    return {"available": "0", "occupied": "–", **facts, **numbers}
