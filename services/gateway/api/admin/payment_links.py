"""`/api/v1/admin/payment-links`: creates, lists and deactivates payment links."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, EntityId, Metadata, Url

router = APIRouter(prefix="/api/v1/admin/payment-links", tags=["admin: payment links"])

StatusFilter = Annotated[m.PaymentLinkStatus | None, Query(description="Only links with this status.")]


class PaymentLinkBody(Body, title="NewPaymentLink"):
    """What is sold, to whom and how often."""

    items: m.ItemsToBuy
    after_url: Url | None = None
    metadata: Metadata | None = None
    customer: Customer | None = None
    uses: int | None = Field(default=None, ge=1, description="Completed payments until it is deactivated.")


@router.get("", response_model=m.PaymentLinkPage, responses=problem_responses(m.ListPaymentLinks))
async def payment_links(
    _: AdminCaller,
    services: ServiceClientDep,
    status: StatusFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List payment links, newest first."""
    return await services.respond(m.ListPaymentLinks(status=status, limit=limit, cursor=cursor))


@router.post(
    "",
    status_code=201,
    response_model=m.PaymentLinkFound,
    responses=problem_responses(m.CreatePaymentLink, codes=["payments_not_configured"]),
)
async def create(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: PaymentLinkBody
) -> Response:
    """Create a payment link; without a customer it is for anybody, and never for the operator."""
    command = command_for(m.CreatePaymentLink, caller, command_id, body, customer=body.customer)
    return await services.respond(command, 201)


@router.get(
    "/{payment_link_id}/uses",
    response_model=m.PaymentLinkUsePage,
    responses=problem_responses(m.ListPaymentLinkUses),
)
async def uses(
    _: AdminCaller,
    services: ServiceClientDep,
    payment_link_id: EntityId,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the payments that were made through a link, newest first."""
    return await services.respond(
        m.ListPaymentLinkUses(payment_link_id=payment_link_id, limit=limit, cursor=cursor)
    )


@router.post(
    "/{payment_link_id}/deactivate",
    response_model=m.PaymentLinkFound,
    responses=problem_responses(m.DeactivatePaymentLink, codes=["not_found", "payments_not_configured"]),
)
async def deactivate(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, payment_link_id: EntityId
) -> Response:
    """Deactivate a payment link; pages that are open cannot be paid any more."""
    command = command_for(m.DeactivatePaymentLink, caller, command_id, payment_link_id=payment_link_id)
    return await services.respond(command)
