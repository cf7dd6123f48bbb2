"""`/billing`: a customer's plan, units, team and money on one page."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import Reading
from services.gateway.pages.billing_page import show
from services.gateway.pages.dependencies import Shown
from services.gateway.pages.page_route import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute)

DONE_MAX_CHARACTERS = 40
Cursor = Annotated[str | None, Query(max_length=200)]


@router.get("/billing")
async def billing_page(
    request: Request,
    caller: Reading,
    shown: Shown,
    done: Annotated[str, Query(max_length=DONE_MAX_CHARACTERS)] = "",
    seats: Cursor = None,
    invoices: Cursor = None,
) -> Response:
    """The page as it stands."""
    cursors = {name: cursor for name, cursor in (("seats", seats), ("invoices", invoices)) if cursor}
    return await show(request, caller, shown, done=done, cursors=cursors)
