"""Opening a page from a link, and signing out."""

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import sign_out
from services.gateway.auth.sessions import PAGES
from services.gateway.auth.tokens import BadToken
from services.gateway.dependencies import Gateway
from services.gateway.pages.dependencies import Shown
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.i18n import words_for
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/session")
async def open_session(gateway: Gateway, token: str = Query(max_length=4_096)) -> Response:
    """Begin a session from a link, and go on to its page without the token in the address."""
    try:
        link = gateway.sessions.opened(token)
    except BadToken:
        raise _expired() from None
    if not await gateway.session_records.open_link(link.link_id):
        raise _expired()
    response = RedirectResponse(PAGES.get(link.page, PAGES["billing"]), SEE_OTHER)
    gateway.sessions.begin(response, link)
    return response


def _expired() -> ProblemError:
    return ProblemError(
        "link_expired", "The link has expired or was opened before. Go back and open the page again."
    )


@router.post("/sign-out")
async def signed_out(request: Request, gateway: Gateway, shown: Shown) -> Response:
    """End the session, and say so."""
    await sign_out(request, gateway)
    words = words_for(request)
    response = shown.templates.page(
        request,
        "problem.html",
        caller=None,
        here="/billing",
        heading=words.say("signed_out.heading"),
        problem=words.say("signed_out.done"),
        sign_in_url=shown.sign_in("/billing"),
    )
    gateway.sessions.end(response)
    return response
