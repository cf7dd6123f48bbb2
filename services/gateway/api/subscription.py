"""`/api/v1/billing`: shows, cancels and reactivates the calling customer's subscription."""

import asyncio
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Response
from pydantic import Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_subscription, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body
from services.gateway.service_client import ServiceClient
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import EntityId, Text

router = APIRouter(prefix="/api/v1/billing", tags=["subscription"])

BALANCES_MAX = 200
"""The most balances one question lists; a customer has one for each limit and kind of units."""


class SubscriptionAndUsage(m.SubscriptionFound):
    """A customer's subscription and its usage."""

    usage: list[consumables.BalanceSnapshot] | None = Field(
        description="Every limit and balance the caller may use; null while their service is unavailable."
    )


class CancelBody(Body, title="Cancel"):
    """When and why the subscription is cancelled."""

    at: Literal["period_end", "now"] = "period_end"
    reason: Text | None = Field(default=None, description="Kept in the audit trail and in Stripe.")
    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest subscription.")


class ReactivateBody(Body, title="Reactivate"):
    """The subscription to reactivate."""

    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest subscription.")


@router.get(
    "/subscription", response_model=SubscriptionAndUsage, responses=problem_responses(m.GetSubscription)
)
async def subscription(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """Show the newest subscription that has not ended, else the newest, with its usage."""
    # A page, its scripts and other tabs often request this at the same moment.
    key = (caller.customer.token, caller.person.token)
    body = await services.coalescer.run(key, lambda: _subscription_and_usage(services, caller))
    return Response(body, media_type="application/json")


@router.get(
    "/cancellation-preview",
    response_model=m.CancellationPreview,
    responses=problem_responses(m.PreviewCancellation, m.GetSubscription),
)
async def cancellation_preview(
    caller: ReadCaller,
    services: ServiceClientDep,
    at: Literal["period_end", "now"] = "period_end",
    subscription_id: EntityId | None = None,
) -> Response:
    """Preview a cancellation: what ends when, and what is credited; nothing is changed."""
    target = await find_subscription(services, caller, subscription_id)
    return await services.respond(m.PreviewCancellation(subscription_id=target.subscription_id, at=at))


@router.post(
    "/cancel",
    response_model=m.SubscriptionCanceled,
    responses=problem_responses(m.CancelSubscription, m.GetSubscription),
)
async def cancel(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: CancelBody | None = None,
) -> Response:
    """Cancel the subscription, by default at the end of the paid period."""
    body = body or CancelBody()
    fields: dict[str, Any] = {"reason": body.reason} if body.reason is not None else {}
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, body.subscription_id)
    command = command_for(
        m.CancelSubscription,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        at=body.at,
        **fields,
    )
    return await services.respond(command)


@router.post(
    "/reactivate",
    response_model=m.SubscriptionFound,
    responses=problem_responses(m.ReactivateSubscription, m.GetSubscription),
)
async def reactivate(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: ReactivateBody | None = None,
) -> Response:
    """Undo a cancellation at the end of the period."""
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, body.subscription_id if body else None)
    command = command_for(
        m.ReactivateSubscription, caller, command_id, subscription_id=target.subscription_id
    )
    return await services.respond(command)


async def _subscription_and_usage(services: ServiceClient, caller: Caller) -> bytes:
    found, balances = await asyncio.gather(
        services.request_json(m.GetSubscription(customer=caller.customer)),
        services.request_optional(consumables.ListBalances(consumer=caller.person, limit=BALANCES_MAX)),
    )
    return orjson.dumps({**found, "usage": balances["items"] if balances else None})
