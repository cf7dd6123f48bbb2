"""`/api/v1/admin/customers`: searches, registers and shows customers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field, JsonValue

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep, StateDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Email, Instant, Metadata, StripeId, Text, TolerantModel

router = APIRouter(prefix="/api/v1/admin/customers", tags=["admin: customers"])

HISTORY_MAX = 200


async def _customer(
    customer: Annotated[
        str,
        Path(
            pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$",
            description="The customer's type and id, joined by an underscore.",
            examples=["organization_acme"],
        ),
    ],
) -> Customer:
    return Customer.from_token(customer)


CustomerInPath = Annotated[Customer, Depends(_customer)]


class RegisterCustomerBody(Body, title="Registration"):
    """The customer, and the address for their invoices."""

    customer: Customer
    email: Email
    name: Annotated[Text, Field(min_length=1, max_length=250)] | None = None
    metadata: Metadata | None = None
    stripe_customer_id: StripeId | None = Field(
        default=None, description="An existing customer in Stripe to adopt."
    )


class HistoryEvent(TolerantModel, title="ToldEvent"):
    """One event of the feed."""

    sequence: int = Field(description="Its sequence number in the feed.")
    type: str = Field(description="The event's type, such as `subscription.renewedV1`.")
    published_at: Instant
    body: dict[str, JsonValue]


class History(TolerantModel):
    """The latest events about a customer, newest first."""

    items: list[HistoryEvent]


@router.get("", response_model=m.CustomerPage, responses=problem_responses(m.ListCustomers))
async def customers(
    _: AdminCaller,
    services: ServiceClientDep,
    search: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List customers, newest first; `search` matches part of the id, email, name or Stripe id."""
    return await services.respond(m.ListCustomers(search=search, limit=limit, cursor=cursor))


@router.post(
    "", status_code=201, response_model=m.CustomerFound, responses=problem_responses(m.RegisterCustomer)
)
async def register(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: RegisterCustomerBody
) -> Response:
    """Register a customer, or change their email, name and metadata."""
    return await services.respond(command_for(m.RegisterCustomer, caller, command_id, body), 201)


@router.get("/{customer}", response_model=m.CustomerFound, responses=problem_responses(m.GetCustomer))
async def customer(_: AdminCaller, services: ServiceClientDep, customer: CustomerInPath) -> Response:
    """Show a customer."""
    return await services.respond(m.GetCustomer(customer=customer))


@router.get(
    "/{customer}/entitlements",
    response_model=m.EntitlementPage,
    responses=problem_responses(m.ListEntitlements),
)
async def entitlements(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerInPath,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List a customer's entitlements and their sources."""
    return await services.respond(m.ListEntitlements(customer=customer, limit=limit, cursor=cursor))


@router.get(
    "/{customer}/balances",
    response_model=consumables.BalancePage,
    responses=problem_responses(consumables.ListBalances),
)
async def balances(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerInPath,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List the balances that a customer may use."""
    question = consumables.ListBalances(consumer=customer, limit=limit, cursor=cursor)
    return await services.respond(question)


@router.get("/{customer}/invoices", response_model=m.InvoicePage, responses=problem_responses(m.ListInvoices))
async def invoices(
    _: AdminCaller,
    services: ServiceClientDep,
    customer: CustomerInPath,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List a customer's invoices, newest first."""
    return await services.respond(m.ListInvoices(customer=customer, limit=limit, cursor=cursor))


@router.get("/{customer}/history", response_model=History, responses=problem_responses())
async def history(_: AdminCaller, state: StateDep, customer: CustomerInPath) -> History:
    """List the latest events about a customer."""
    events = await state.change_feed.history(customer, HISTORY_MAX)
    return History(
        items=[
            HistoryEvent(
                sequence=event.sequence,
                type=f"{event.entity}.{event.event}V{event.name.schema}",
                published_at=event.published_at,
                body=dict(event.body),
            )
            for event in reversed(events)
        ]
    )
