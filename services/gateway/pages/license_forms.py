"""The forms of licenses: show and replace the key, free a machine's place, activate one without a network."""

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_license, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_page import ShownLicenseKey, render_billing_page
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.forms import FormCommandId, redirect_to_billing
from services.gateway.problem_details import ProblemError
from tallystick.messages import licenses as m

router = APIRouter(prefix="/billing/licenses", include_in_schema=False, route_class=BillingFormRoute)

LicenseId = Annotated[str, Form(max_length=100)]
InstanceId = Annotated[str, Form(max_length=200)]
REQUEST_FILE_MAX_BYTES = 4_096
"""An id, a name and a version."""
LICENSE_FILE_TYPE = "application/jose"
"""A compact JWS (RFC 7515)."""


@router.post("/key")
async def show_key(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    license_id: LicenseId,
) -> Response:
    """Show the key of a license, once."""
    await _check_license(page, caller, license_id)
    command = command_for(m.ShowLicenseKey, caller, command_id, license_id=license_id)
    shown = await page.services.request(command)
    key = ShownLicenseKey(shown.license.product, shown.license_key)
    return await render_billing_page(request, caller, page, license_key=key)


@router.post("/rotate-key")
async def rotate_key(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    license_id: LicenseId,
) -> Response:
    """Replace the key of a license, and show the new one, once."""
    await _check_license(page, caller, license_id)
    command = command_for(m.RotateLicenseKey, caller, command_id, license_id=license_id)
    changed = await page.services.request(command)
    key = ShownLicenseKey(changed.license.product, changed.license_key or "")
    return await render_billing_page(request, caller, page, license_key=key)


@router.post("/deactivate")
async def deactivate(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    license_id: LicenseId,
    instance_id: InstanceId,
) -> Response:
    """Free a machine's place."""
    await _check_license(page, caller, license_id)
    command = command_for(
        m.DeactivateLicense, caller, command_id, license_id=license_id, instance_id=instance_id
    )
    await page.services.request(command)
    return redirect_to_billing("machine_deactivated", "licenses")


@router.post("/activate")
async def activate(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    license_id: LicenseId,
    request_file: Annotated[UploadFile, File()],
) -> Response:
    """Activate the machine of a request file, and download its license file."""
    instance = _read_request(await request_file.read(REQUEST_FILE_MAX_BYTES + 1))
    await _check_license(page, caller, license_id)
    command = command_for(m.ActivateLicense, caller, command_id, license_id=license_id, instance=instance)
    activated = await page.services.request(command)
    name = instance.instance_id.replace(":", "_")
    headers = {"Content-Disposition": f'attachment; filename="{name}.license"'}
    return Response(activated.license_file, media_type=LICENSE_FILE_TYPE, headers=headers)


def _read_request(content: bytes) -> m.Instance:
    """Parse a request file; raises ProblemError."""
    if len(content) > REQUEST_FILE_MAX_BYTES:
        raise ProblemError("invalid_request_file")
    try:
        return m.Instance.model_validate_json(content)
    except ValidationError:
        raise ProblemError("invalid_request_file") from None


async def _check_license(page: PageContext, caller: Caller, license_id: str) -> None:
    await require_billing_manager(page.services, caller)
    await find_license(page.services, caller, license_id)
