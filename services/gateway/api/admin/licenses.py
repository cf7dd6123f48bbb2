"""`/api/v1/admin/licenses`: operators search, issue, suspend and revoke licenses, and rotate signing keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit, Moment
from tallystick.messages import licenses as m
from tallystick.messages.base import Code, Command, Customer, EntityId, Text

router = APIRouter(prefix="/api/v1/admin/licenses", tags=["admin: licenses"])

Term = Annotated[
    str | None,
    Query(max_length=200, description="License, subscription or customer id, product, machine or key hint."),
]
CustomerToken = Annotated[
    str | None,
    Query(pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$", description="Such as `organization_acme`."),
]


class IssueLicenseBody(Body, title="NewLicense"):
    """A license that follows no subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer": {"type": "organization", "id": "acme"}, "product": "self_hosted", "seats": 50}
            ]
        }
    )

    customer: Customer
    product: Code
    seats: m.LicenseSeats | None = Field(default=None, description="Absent: not limited.")
    expires_at: Moment | None = Field(default=None, description="Absent: it does not end.")
    features: m.LicenseFeatures | None = Field(default=None, description="Absent: those of the product.")
    instances: m.Instances | None = Field(default=None, description="Absent: as the product says, else 1.")


class ReasonBody(Body, title="Reason"):
    """Why a license is changed."""

    reason: Text | None = Field(default=None, description="Kept with the license; customers do not see it.")


class RotateSigningKeyBody(Body, title="NextSigningKey"):
    """Which key signs from now on."""

    kid: m.Kid | None = Field(default=None, description="Absent: the next of the setting.")


@router.get("", response_model=m.LicensePage, responses=problem_responses(m.ListLicenses))
async def licenses(
    caller: AdminCaller,
    services: ServiceClientDep,
    search: Term = None,
    customer: CustomerToken = None,
    status: m.LicenseStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List licenses, newest first."""
    question = m.ListLicenses(
        customer=Customer.from_token(customer) if customer else None,
        status=status,
        search=search,
        limit=limit,
        cursor=cursor,
    )
    return await services.respond(question)


@router.post("", status_code=201, response_model=m.LicenseIssued, responses=problem_responses(m.IssueLicense))
async def issue(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: IssueLicenseBody
) -> Response:
    """Issue a license by hand; its key is shown here alone."""
    return await services.respond(command_for(m.IssueLicense, caller, command_id, body), 201)


@router.get("/signing-keys", response_model=m.SigningKeys, responses=problem_responses(m.ListSigningKeys))
async def signing_keys(caller: AdminCaller, services: ServiceClientDep) -> Response:
    """List the public keys of all signing keys."""
    return await services.respond(m.ListSigningKeys())


@router.post(
    "/signing-keys/rotate", response_model=m.SigningKeys, responses=problem_responses(m.RotateSigningKey)
)
async def rotate_signing_key(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: RotateSigningKeyBody | None = None,
) -> Response:
    """Sign with the next key of the setting from now on; old files stay good until they end."""
    return await services.respond(command_for(m.RotateSigningKey, caller, command_id, body))


def _add_change(name: str, message: type[Command[m.LicenseChanged]], summary: str) -> None:
    async def change(
        caller: AdminCaller,
        services: ServiceClientDep,
        command_id: RequestCommandId,
        license_id: EntityId,
        body: ReasonBody | None = None,
    ) -> Response:
        return await services.respond(command_for(message, caller, command_id, body, license_id=license_id))

    change.__name__ = f"{name.replace('-', '_')}_license"
    change.__doc__ = summary
    options: dict[str, Any] = {"responses": problem_responses(message, codes=["not_found"])}
    router.post(f"/{{license_id}}/{name}", response_model=m.LicenseChanged, **options)(change)


_add_change("suspend", m.SuspendLicense, "Suspend a license until it is restored.")
_add_change("restore", m.RestoreLicense, "End the suspension of a license.")
_add_change("revoke", m.RevokeLicense, "Revoke a license for good.")
_add_change("rotate-key", m.RotateLicenseKey, "Replace the key of a license; it is shown here alone.")
