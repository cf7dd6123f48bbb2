"""`/api/v1/admin/subscriptions`: everybody's, and what operators do to them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit, Moment, set_fields
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, EntityId, Text
from tallystick.messages.catalog import TrialDays

router = APIRouter(prefix="/api/v1/admin/subscriptions", tags=["admin: subscriptions"])

OfCustomer = Annotated[
    str | None,
    Query(
        pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$",
        description="Only of this customer.",
        examples=["organization_acme"],
    ),
]


class New(Body):
    """A subscription without a checkout page."""

    customer: Customer
    items: m.ItemsToBuy
    trial_days: TrialDays | None = None
    collection: m.Collection | None = Field(default=None, description="`none`: paid outside.")
    period_start: Moment | None = Field(default=None, description="Where nobody collects.")


class End(Body):
    """How a subscription is to end."""

    at: Literal["period_end", "now"] = "period_end"
    reason: Text | None = None


@router.get("", response_model=m.SubscriptionPage, responses=problem_responses(m.ListSubscriptions))
async def subscriptions(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: OfCustomer = None,
    status: m.Status | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Subscriptions, newest first."""
    whose = Customer.from_token(customer) if customer else None
    return await services.respond(
        m.ListSubscriptions(customer=whose, status=status, limit=limit, cursor=cursor)
    )


@router.post(
    "",
    status_code=201,
    response_model=m.SubscriptionFound,
    responses=problem_responses(m.CreateSubscription, codes=["not_found", "payments_not_configured"]),
)
async def create(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: New
) -> Response:
    """Subscribe a customer at once: on the saved card, by invoice, or paid outside."""
    return await services.respond(command_for(m.CreateSubscription, caller, command_id, body), 201)


@router.get(
    "/{subscription_id}", response_model=m.SubscriptionFound, responses=problem_responses(m.GetSubscription)
)
async def subscription(_: AdminCaller, services: ServiceClientDep, subscription_id: EntityId) -> Response:
    """One subscription."""
    return await services.respond(m.GetSubscription(subscription_id=subscription_id))


@router.post(
    "/{subscription_id}/cancel",
    response_model=m.SubscriptionFound,
    responses=problem_responses(m.CancelSubscription, codes=["not_found"]),
)
async def cancel(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    subscription_id: EntityId,
    body: End | None = None,
) -> Response:
    """End a subscription, at the end of what is paid for unless told otherwise."""
    fields = {"at": "period_end"} | (set_fields(body) if body else {})
    command = command_for(m.CancelSubscription, caller, command_id, subscription_id=subscription_id, **fields)
    return await services.respond(command)


@router.post(
    "/{subscription_id}/{action}",
    response_model=m.SubscriptionFound,
    responses=problem_responses(
        m.ReactivateSubscription, m.PauseSubscription, m.ResumeSubscription, codes=["not_found"]
    ),
)
async def act(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    subscription_id: EntityId,
    action: Literal["reactivate", "pause", "resume"],
) -> Response:
    """Let a subscription go on that was to end, interrupt one, or end the interruption."""
    commands = {
        "reactivate": m.ReactivateSubscription,
        "pause": m.PauseSubscription,
        "resume": m.ResumeSubscription,
    }
    command = command_for(commands[action], caller, command_id, subscription_id=subscription_id)
    return await services.respond(command)
