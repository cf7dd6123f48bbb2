"""`/api/v1/billing`: the subscription of the calling customer, as it stands and as it ends."""

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

METERS_MAX = 200
"""As many balances as one question lists: one for each limit and unit of the customer."""


class SubscriptionAndUsage(m.SubscriptionFound):
    """A customer's subscription and how much of it is used."""

    usage: list[consumables.BalanceSnapshot] | None = Field(
        description="Every limit and unit the caller may draw on; null while their service is away."
    )


class Cancel(Body):
    """How a subscription is to end."""

    at: Literal["period_end", "now"] = "period_end"
    reason: Text | None = Field(default=None, description="Kept in the audit trail and in Stripe.")
    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest.")


class Reactivate(Body):
    """Which subscription is to go on."""

    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest.")


@router.get(
    "/subscription", response_model=SubscriptionAndUsage, responses=problem_responses(m.GetSubscription)
)
async def subscription(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """The newest subscription that has not ended, else the newest, and what is used of it."""
    # A page, its scripts and its tabs ask this at the same moment, again and again.
    key = (caller.customer.token, caller.person.token)
    body = await services.coalescer.run(key, lambda: _subscription_and_usage(services, caller))
    return Response(body, media_type="application/json")


@router.post(
    "/cancel",
    response_model=m.SubscriptionFound,
    responses=problem_responses(m.CancelSubscription, m.GetSubscription),
)
async def cancel(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: Cancel | None = None
) -> Response:
    """End the subscription, at the end of what is paid for unless told otherwise."""
    wish = body or Cancel()
    fields: dict[str, Any] = {"reason": wish.reason} if wish.reason is not None else {}
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, wish.subscription_id)
    command = command_for(
        m.CancelSubscription,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        at=wish.at,
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
    body: Reactivate | None = None,
) -> Response:
    """Let a subscription go on that was to end with its period."""
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, body.subscription_id if body else None)
    command = command_for(
        m.ReactivateSubscription, caller, command_id, subscription_id=target.subscription_id
    )
    return await services.respond(command)


async def _subscription_and_usage(services: ServiceClient, caller: Caller) -> bytes:
    found, balances = await asyncio.gather(
        services.request_json(m.GetSubscription(customer=caller.customer)),
        services.request_optional(consumables.ListBalances(consumer=caller.person, limit=METERS_MAX)),
    )
    return orjson.dumps({**found, "usage": balances["items"] if balances else None})
