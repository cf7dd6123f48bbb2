"""`/api/v1/admin`: refunds of invoices, and disputes."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.api.admin.subscriptions import CustomerFilter
from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, EntityId, Text

router = APIRouter(prefix="/api/v1/admin", tags=["admin: refunds"])

InvoiceFilter = Annotated[EntityId | None, Query(description="Only refunds of this invoice.")]
DisputeFilter = Annotated[m.DisputeStatus | None, Query(description="Only disputes with this status.")]


class RefundBody(Body, title="Refund"):
    """How much is refunded and why."""

    amount: m.Charge | int | None = Field(
        default=None,
        description="In the invoice's minor unit, or with its currency; absent: all that is left.",
    )
    reason: Annotated[Text, Field(min_length=1, max_length=500)]
    end_subscription: bool = Field(default=False, description="Also cancel the invoice's subscription now.")


@router.post(
    "/invoices/{invoice_id}/refund",
    status_code=201,
    response_model=m.RefundMade,
    responses=problem_responses(m.RefundInvoice, codes=["not_found", "payments_not_configured"]),
)
async def refund(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    invoice_id: EntityId,
    body: RefundBody,
) -> Response:
    """Refund a paid invoice, fully or partly."""
    command = command_for(m.RefundInvoice, caller, command_id, body, invoice_id=invoice_id)
    return await services.respond(command, 201)


@router.get("/refunds", response_model=m.RefundPage, responses=problem_responses(m.ListRefunds))
async def refunds(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerFilter = None,
    invoice_id: InvoiceFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List refunds, made here or in Stripe, newest first."""
    owner = Customer.from_token(customer) if customer else None
    return await services.respond(
        m.ListRefunds(customer=owner, invoice_id=invoice_id, limit=limit, cursor=cursor)
    )


@router.get("/disputes", response_model=m.DisputePage, responses=problem_responses(m.ListDisputes))
async def disputes(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerFilter = None,
    status: DisputeFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List disputes, newest first."""
    owner = Customer.from_token(customer) if customer else None
    return await services.respond(m.ListDisputes(customer=owner, status=status, limit=limit, cursor=cursor))
