"""Creates links that open a page, and ends sessions."""

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
from tallystick.messages.base import Instant, TolerantModel

router = APIRouter(tags=["sessions"])


class PageLinkBody(Body, title="WantedPage"):
    """The page that the link opens."""

    page: Literal["billing", "my", "payouts", "admin"] = "billing"


class PageLink(TolerantModel):
    """A link that the person's browser must open before it expires."""

    url: str
    expires_at: Instant = Field(
        description="A few minutes from now; the session that it starts lasts longer."
    )


@router.post(
    "/api/v1/billing/page-link",
    status_code=201,
    response_model=PageLink,
    responses=problem_responses(codes=POST_CODES),
)
async def page_link(caller: ReadCaller, state: StateDep, body: PageLinkBody | None = None) -> PageLink:
    """Create a short-lived link that opens a page as the same caller, without a bearer token."""
    if caller.session_id is not None:
        raise ProblemError("insufficient_scope", "A link needs a bearer token of the host application.")
    page = (body or PageLinkBody()).page
    if page == "admin" and not caller.may(ADMIN):
        raise ProblemError("insufficient_scope", f"The operators' page needs the scope {ADMIN}.")
    url, expires_at = state.sessions.link(caller, page)
    return PageLink(url=url, expires_at=datetime.fromtimestamp(expires_at, UTC))


@router.post("/session/end", include_in_schema=False)
async def end_session(request: Request, state: StateDep) -> Response:
    """End the session."""
    await sign_out(request, state)
    response = Response(status_code=204)
    state.sessions.end(response)
    return response
