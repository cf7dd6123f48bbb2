"""`/api/v1/admin/payouts`: sellers' accounts, balances, corrections and hold days, for operators."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.api.admin.customers import CustomerInPath
from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import payouts as m
from tallystick.messages.base import Count, Customer, Money, Text

router = APIRouter(prefix="/api/v1/admin/payouts", tags=["admin: payouts"])


class AdjustmentBody(Body, title="SellerAdjustment"):
    """A correction of a seller's balance; a negative amount takes from it."""

    customer: Customer
    amount: Money
    reason: Annotated[Text, Field(min_length=1)] = Field(description="Shown to the seller.")


class SellerScheduleBody(Body, title="SellerHold"):
    """For how long a seller's earnings are held, and when they are paid out."""

    customer: Customer
    hold_days: m.HoldDays
    every: m.Every
    minimum: Count | Money = 0


@router.get("", response_model=m.PayoutPage, responses=problem_responses(m.ListPayouts))
async def payouts(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: Annotated[str | None, Query(max_length=80)] = None,
    status: m.PayoutStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List payouts of all sellers, or of one, newest first."""
    seller = Customer.from_token(customer) if customer else None
    return await services.respond(m.ListPayouts(customer=seller, status=status, limit=limit, cursor=cursor))


@router.get(
    "/sellers/{customer}/account", response_model=m.AccountFound, responses=problem_responses(m.GetAccount)
)
async def account(_: AdminCaller, services: ServiceClientDep, customer: CustomerInPath) -> Response:
    """Get a seller's connected account."""
    return await services.respond(m.GetAccount(customer=customer))


@router.get(
    "/sellers/{customer}/balance",
    response_model=m.SellerBalances,
    responses=problem_responses(m.SellerBalance),
)
async def balance(_: AdminCaller, services: ServiceClientDep, customer: CustomerInPath) -> Response:
    """Get a seller's balances."""
    return await services.respond(m.SellerBalance(customer=customer))


@router.get(
    "/sellers/{customer}/entries",
    response_model=m.SellerEntryPage,
    responses=problem_responses(m.ListSellerEntries),
)
async def entries(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerInPath,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List a seller's ledger entries, newest first."""
    return await services.respond(m.ListSellerEntries(customer=customer, limit=limit, cursor=cursor))


@router.post(
    "/adjustments",
    status_code=201,
    response_model=m.EntryFound,
    responses=problem_responses(m.AdjustSellerBalance),
)
async def adjust(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: AdjustmentBody
) -> Response:
    """Correct a seller's balance by hand."""
    return await services.respond(command_for(m.AdjustSellerBalance, caller, command_id, body), 201)


@router.put("/schedule", response_model=m.AccountFound, responses=problem_responses(m.SetPayoutSchedule))
async def schedule(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: SellerScheduleBody
) -> Response:
    """Set a seller's hold days and payout schedule."""
    command = command_for(m.SetPayoutSchedule, caller, command_id, body, minimum=body.minimum)
    return await services.respond(command)
