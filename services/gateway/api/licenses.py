"""`/api/v1/billing/licenses`: a customer's licenses; their keys, machines and seats."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_license, require_billing_manager, visible_license
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from services.gateway.service_client import ServiceClient, json_response
from tallystick.messages import licenses as m
from tallystick.messages.base import Command, EntityId
from tallystick.messages.subscriptions import Proration, When

router = APIRouter(prefix="/api/v1/billing/licenses", tags=["licenses"])

MANAGER_CODES = ("not_billing_manager", "not_found")


class LicenseSeatsBody(Body, title="LicenseSeats"):
    """The new number of seats."""

    seats: m.LicenseSeats
    when: When | None = Field(
        default=None, description="Absent: an increase now, a decrease at the end of the period."
    )
    proration: Proration = "prorate"


class OfflineActivationBody(Body, title="LicenseRequest"):
    """A machine without a network, from the request file that it has written."""

    instance: m.Instance


@router.get("", response_model=m.LicensePage, responses=problem_responses(m.ListLicenses))
async def licenses(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the customer's licenses, newest first."""
    page = await services.request(m.ListLicenses(customer=caller.customer, limit=limit, cursor=cursor))
    shown = page.model_copy(update={"items": [visible_license(item) for item in page.items]})
    return json_response(shown.model_dump(mode="json"))


@router.get("/{license_id}", response_model=m.LicenseFound, responses=problem_responses(m.GetLicense))
async def license_by_id(
    caller: ReadCaller, services: ServiceClientDep, license_id: EntityId
) -> m.LicenseFound:
    """Show one of the customer's licenses with its machines."""
    return m.LicenseFound(license=await find_license(services, caller, license_id))


@router.post(
    "/{license_id}/key",
    response_model=m.LicenseIssued,
    responses=problem_responses(m.ShowLicenseKey, codes=MANAGER_CODES),
)
async def show_key(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, license_id: EntityId
) -> Response:
    """Show the key of a license that came with a subscription; once."""
    return await _change(services, caller, m.ShowLicenseKey, command_id, license_id)


@router.post(
    "/{license_id}/rotate-key",
    response_model=m.LicenseChanged,
    responses=problem_responses(m.RotateLicenseKey, codes=MANAGER_CODES),
)
async def rotate_key(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, license_id: EntityId
) -> Response:
    """Replace the key of a license; the old one is invalid at once."""
    return await _change(services, caller, m.RotateLicenseKey, command_id, license_id)


@router.put(
    "/{license_id}/seats",
    response_model=m.LicenseFound,
    responses=problem_responses(m.ChangeLicenseSeats, codes=MANAGER_CODES),
)
async def change_seats(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    license_id: EntityId,
    body: LicenseSeatsBody,
) -> Response:
    """Change the number of seats, through the license's subscription if it has one."""
    return await _change(services, caller, m.ChangeLicenseSeats, command_id, license_id, body)


@router.post(
    "/{license_id}/activations",
    status_code=201,
    response_model=m.LicenseActivated,
    responses=problem_responses(m.ActivateLicense, codes=MANAGER_CODES),
)
async def activate_offline(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    license_id: EntityId,
    body: OfflineActivationBody,
) -> Response:
    """Activate a machine without a network; bring the license file there."""
    return await _change(services, caller, m.ActivateLicense, command_id, license_id, body, status=201)


@router.delete(
    "/{license_id}/activations/{instance_id}",
    response_model=m.LicenseFound,
    responses=problem_responses(m.DeactivateLicense, codes=MANAGER_CODES),
)
async def deactivate(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    license_id: EntityId,
    instance_id: m.InstanceId,
) -> Response:
    """Free a machine's place."""
    await require_billing_manager(services, caller)
    await find_license(services, caller, license_id)
    command = command_for(
        m.DeactivateLicense, caller, command_id, license_id=license_id, instance_id=instance_id
    )
    return json_response(_visible(await services.request(command)))


async def _change(
    services: ServiceClient,
    caller: Caller,
    message: type[Command[Any]],
    command_id: str,
    license_id: str,
    body: Body | None = None,
    *,
    status: int = 200,
) -> Response:
    await require_billing_manager(services, caller)
    await find_license(services, caller, license_id)
    command = command_for(message, caller, command_id, body, license_id=license_id)
    return json_response(_visible(await services.request(command)), status)


def _visible(result: Any) -> dict[str, Any]:
    shown: dict[str, Any] = result.model_copy(update={"license": visible_license(result.license)}).model_dump(
        mode="json"
    )
    return shown
