"""`/api/v1/admin`: exceptions for one customer: feature overrides and manual grants."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Moment
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Code, Customer, EntityId, Text
from tallystick.messages.catalog import Units

router = APIRouter(prefix="/api/v1/admin", tags=["admin: exceptions"])


class OverrideFeatureBody(Body, title="Override"):
    """A feature that is granted, raised or denied regardless of the customer's subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "customer": {"type": "organization", "id": "acme"},
                    "feature": "team_members",
                    "quantity": 5,
                    "reason": "promised in the offer",
                }
            ]
        }
    )

    customer: Customer
    feature: Code
    quantity: Units | None = Field(default=None, description="Absent, with `allowed` true: unlimited.")
    allowed: bool | None = Field(default=None, description="False: denied.")
    until: Moment | None = Field(default=None, description="Absent: until it is replaced.")
    reason: Annotated[Text, Field(min_length=1)] = Field(description="Kept in the audit trail.")


class GrantBody(Body, title="NewGrant"):
    """Units that are granted manually."""

    account: consumables.Account
    feature: Code
    quantity: consumables.Units | None = Field(description="Null: unlimited.")
    expires_at: Moment | None = Field(default=None, description="Absent: never.")
    priority: consumables.Priority | None = Field(
        default=None, description="Grants with the lowest number are used first."
    )
    reason: Text = Field(description="Kept in the audit trail.")


@router.post(
    "/overrides",
    status_code=201,
    response_model=m.EntitlementFound,
    responses=problem_responses(m.OverrideFeature, codes=["not_found"]),
)
async def override(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: OverrideFeatureBody
) -> Response:
    """Grant, raise or deny a feature for a customer; replaces an existing override."""
    return await services.respond(command_for(m.OverrideFeature, caller, command_id, body), 201)


@router.post(
    "/grants",
    status_code=201,
    response_model=consumables.Granted,
    responses=problem_responses(consumables.Grant),
)
async def grant(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: GrantBody
) -> Response:
    """Grant units to an account."""
    return await services.respond(command_for(consumables.Grant, caller, command_id, body), 201)


@router.delete(
    "/grants/{grant_id}",
    response_model=consumables.Granted,
    responses=problem_responses(consumables.RevokeGrant, codes=["not_found"]),
)
async def revoke(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    grant_id: EntityId,
    reason: Annotated[str, Query(min_length=1, max_length=1_000, examples=["given by mistake"])],
) -> Response:
    """Revoke what is left of a grant."""
    command = command_for(consumables.RevokeGrant, caller, command_id, grant_id=grant_id, reason=reason)
    return await services.respond(command)
