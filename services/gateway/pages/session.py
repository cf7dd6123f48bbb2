"""Opens a page from a link, and signs out."""

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import sign_out
from services.gateway.auth.sessions import PAGES
from services.gateway.auth.tokens import InvalidToken
from services.gateway.dependencies import StateDep
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/session")
async def open_session(state: StateDep, token: str = Query(max_length=4_096)) -> Response:
    """Start a session from a link and redirect to its page, without the token in the URL."""
    try:
        link = state.sessions.verify_link(token)
    except InvalidToken:
        raise _expired() from None
    if not await state.session_records.open_link(link.link_id):
        raise _expired()
    response = RedirectResponse(PAGES.get(link.page, PAGES["billing"]), SEE_OTHER)
    state.sessions.begin(response, link)
    return response


def _expired() -> ProblemError:
    return ProblemError(
        "link_expired", "The link has expired or was opened before. Go back and open the page again."
    )


@router.post("/sign-out")
async def signed_out(request: Request, state: StateDep, page: PageContextDep) -> Response:
    """End the session and show a confirmation."""
    await sign_out(request, state)
    translations = translations_for_request(request)
    response = page.templates.render(
        request,
        "problem.html",
        caller=None,
        page_url="/billing",
        heading=translations.translate("signed_out.heading"),
        problem=translations.translate("signed_out.done"),
        sign_in_url=page.sign_in_url("/billing"),
    )
    state.sessions.end(response)
    return response
