"""`/admin/licenses`: operators search, issue, suspend, restore, revoke licenses and replace their keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import AdminCaller
from services.gateway.commands import command_for
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER, FormCommandId, Text, parse_number
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import licenses as m
from tallystick.messages.base import Command, Customer

router = APIRouter(prefix="/admin/licenses", include_in_schema=False, route_class=PageRoute)

PAGE_SIZE = 50
CHANGES: dict[str, type[Command[m.LicenseChanged]]] = {
    "suspend": m.SuspendLicense,
    "restore": m.RestoreLicense,
    "revoke": m.RevokeLicense,
    "rotate-key": m.RotateLicenseKey,
}


@router.get("")
async def licenses(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    search: Annotated[str, Query(max_length=200)] = "",
    status: str = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """List licenses, newest first."""
    return await _render(request, caller, page, search=search, status=status, cursor=cursor)


@router.post("/issue")
async def issue(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    customer: Text,
    product: Text,
    seats: Text = "",
    expires_on: Text = "",
) -> Response:
    """Issue a license by hand; the page shows its key once."""
    try:
        payer = Customer.from_token(customer.strip())
    except ValueError:
        raise ProblemError("invalid_message") from None
    fields: dict[str, Any] = {"seats": parse_number(seats)}
    fields["expires_at"] = f"{expires_on}T00:00:00Z" if expires_on else None
    command = command_for(
        m.IssueLicense, caller, command_id, customer=payer, product=product.strip(), **fields
    )
    issued = await page.services.request(command)
    return await _render(request, caller, page, shown=(issued.license, issued.license_key))


@router.post("/change")
async def change(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    license_id: Text,
    action: Text,
    reason: Text = "",
) -> Response:
    """Suspend, restore or revoke a license, or replace its key, which the page shows once."""
    if action not in CHANGES:
        raise ProblemError("invalid_message")
    command = command_for(
        CHANGES[action], caller, command_id, license_id=license_id, reason=reason.strip() or None
    )
    changed = await page.services.request(command)
    if changed.license_key is not None:
        return await _render(request, caller, page, shown=(changed.license, changed.license_key))
    return RedirectResponse(f"/admin/licenses?search={changed.license.license_id}", SEE_OTHER)


async def _render(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    *,
    search: str = "",
    status: str = "",
    cursor: str | None = None,
    shown: tuple[m.LicenseSnapshot, str] | None = None,
) -> Response:
    question = m.ListLicenses.model_validate(
        {"search": search.strip() or None, "status": status or None, "limit": PAGE_SIZE, "cursor": cursor}
    )
    found = await page.services.request(question)
    return page.templates.render(
        request,
        "admin/licenses.html",
        caller=caller,
        page_url="/admin/licenses" if request.method == "POST" else None,
        licenses=found,
        search=search,
        chosen=status,
        statuses=m.LicenseStatus.__args__,  # type: ignore[attr-defined]
        shown=shown,
    )
