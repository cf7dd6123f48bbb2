"""The billing page: a customer's plan, units, team and money on one page, with what an action has led to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.pages import view_models
from services.gateway.pages.billing_data import Gathered, gather
from services.gateway.pages.dependencies import PageParts
from services.gateway.pages.error_messages import in_words
from services.gateway.pages.i18n import Words, words_for
from services.gateway.problem_details import ProblemError

NOTHING_TYPED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Invited:
    """Who was invited just now, with links that are shown this once, and who could not be."""

    links: list[tuple[str, str | None]]
    refused: list[tuple[str, ProblemError]]


async def show(
    request: Request,
    caller: Caller,
    shown: PageParts,
    *,
    done: str = "",
    refused: ProblemError | None = None,
    cursors: dict[str, str] | None = None,
    typed: Mapping[str, str] = NOTHING_TYPED,
    invited: Invited | None = None,
) -> Response:
    """The page, with what an action on it has led to; `typed` are the fields of a form that was refused."""
    words = words_for(request)
    gathered = await gather(shown.billing, caller, cursors or {})
    return shown.templates.page(
        request,
        "billing.html",
        caller=caller,
        status=refused.status if refused else 200,
        here=None if request.url.path == "/billing" else "/billing",
        done=words.say(f"done.{done}") if words.knows(f"done.{done}") else None,
        problem=in_words(refused, words) if refused else None,
        typed=typed,
        invited=invited.links if invited else [],
        not_invited=[(who, in_words(why, words)) for who, why in invited.refused] if invited else [],
        **_content(gathered, words, cursors or {}),
    )


def _content(gathered: Gathered, words: Words, cursors: dict[str, str]) -> dict[str, Any]:
    team = gathered.team
    return {
        "gathered": gathered,
        "away": gathered.away,
        "may_change": gathered.may_change,
        "may_manage": gathered.caller.may(MANAGE),
        "plan": view_models.plan_view(gathered, words),
        "meters": view_models.meters(gathered, words),
        "team": team,
        "team_is_open": team is not None and team.status == "open",
        "seats": gathered.seats,
        "may_manage_team": gathered.may_change and gathered.manages_team and not gathered.is_a_guest,
        "add_ons": [add_on for add_on in gathered.add_ons if add_on.status not in view_models.ENDED],
        "add_on_offers": view_models.offers(gathered.shelf.add_ons, gathered.shelf, words),
        "invoices": gathered.invoices,
        "coming": gathered.coming,
        "recharges": view_models.recharges(gathered, words),
        "cursors": cursors,
        "product_name": lambda code: getattr(gathered.shelf.product(code), "name", code),
    }
