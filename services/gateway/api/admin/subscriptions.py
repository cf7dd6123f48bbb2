"""`/api/v1/admin/subscriptions`: lists, creates and changes the subscriptions of all customers."""

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

CustomerFilter = Annotated[
    str | None,
    Query(
        pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$",
        description="Only subscriptions of this customer.",
        examples=["organization_acme"],
    ),
]


class CreateSubscriptionBody(Body, title="New"):
    """A subscription that is created without a checkout page."""

    customer: Customer
    items: m.ItemsToBuy
    trial_days: TrialDays | None = None
    collection: m.Collection | None = Field(default=None, description="`none`: paid outside Stripe.")
    period_start: Moment | None = Field(default=None, description="Only with the collection `none`.")


class CancelSubscriptionBody(Body, title="End"):
    """When and why the subscription is cancelled."""

    at: Literal["period_end", "now"] = "period_end"
    reason: Text | None = None


@router.get("", response_model=m.SubscriptionPage, responses=problem_responses(m.ListSubscriptions))
async def subscriptions(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerFilter = None,
    status: m.Status | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List subscriptions, newest first."""
    owner = Customer.from_token(customer) if customer else None
    return await services.respond(
        m.ListSubscriptions(customer=owner, status=status, limit=limit, cursor=cursor)
    )


@router.post(
    "",
    status_code=201,
    response_model=m.SubscriptionFound,
    responses=problem_responses(m.CreateSubscription, codes=["not_found", "payments_not_configured"]),
)
async def create(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: CreateSubscriptionBody,
) -> Response:
    """Create a subscription, charged to the saved card, by invoice, or paid outside Stripe."""
    return await services.respond(command_for(m.CreateSubscription, caller, command_id, body), 201)


@router.get(
    "/{subscription_id}", response_model=m.SubscriptionFound, responses=problem_responses(m.GetSubscription)
)
async def subscription(_: AdminCaller, services: ServiceClientDep, subscription_id: EntityId) -> Response:
    """Show a subscription."""
    return await services.respond(m.GetSubscription(subscription_id=subscription_id))


@router.post(
    "/{subscription_id}/cancel",
    response_model=m.SubscriptionCanceled,
    responses=problem_responses(m.CancelSubscription, codes=["not_found"]),
)
async def cancel(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    subscription_id: EntityId,
    body: CancelSubscriptionBody | None = None,
) -> Response:
    """Cancel a subscription, by default at the end of the paid period."""
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
    """Undo a cancellation, or pause or resume a subscription."""
    commands = {
        "reactivate": m.ReactivateSubscription,
        "pause": m.PauseSubscription,
        "resume": m.ResumeSubscription,
    }
    command = command_for(commands[action], caller, command_id, subscription_id=subscription_id)
    return await services.respond(command)
