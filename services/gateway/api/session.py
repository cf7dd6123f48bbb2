"""Links that open a page, and the end of the sessions they begin."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from services.gateway.auth.authentication import ReadCaller, sign_out
from services.gateway.auth.principal import ADMIN
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import POST_CODES, problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.schemas import Body
from tallystick.messages.base import Instant, Told

router = APIRouter(tags=["sessions"])


class WantedPage(Body):
    """Which page the link opens."""

    page: Literal["billing", "my", "admin"] = "billing"


class PageLink(Told):
    """A link to be opened by the person's browser, soon."""

    url: str
    expires_at: Instant = Field(description="Minutes from now; the session it begins lasts longer.")


@router.post(
    "/api/v1/billing/page-link",
    status_code=201,
    response_model=PageLink,
    responses=problem_responses(codes=POST_CODES),
)
async def page_link(caller: ReadCaller, state: StateDep, body: WantedPage | None = None) -> PageLink:
    """A short-lived link that opens a page as the same caller, without their bearer token."""
    if caller.session_id is not None:
        raise ProblemError("insufficient_scope", "A link needs a bearer token of the host application.")
    page = (body or WantedPage()).page
    if page == "admin" and not caller.may(ADMIN):
        raise ProblemError("insufficient_scope", f"The operators' page needs the scope {ADMIN}.")
    url, expires_at = state.sessions.link(caller, page)
    return PageLink(url=url, expires_at=datetime.fromtimestamp(expires_at, UTC))


@router.post("/session/end", include_in_schema=False)
async def end_session(request: Request, state: StateDep) -> Response:
    """Sign out."""
    await sign_out(request, state)
    response = Response(status_code=204)
    state.sessions.end(response)
    return response
