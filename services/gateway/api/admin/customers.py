"""`/api/v1/admin/customers`: looking for somebody, and all there is about them."""

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
from tallystick.messages.base import Customer, Email, Instant, Metadata, StripeId, Text, Told

router = APIRouter(prefix="/api/v1/admin/customers", tags=["admin: customers"])

HISTORY_MAX = 200


async def _customer(
    customer: Annotated[
        str,
        Path(
            pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$",
            description="Type and id as one token.",
            examples=["organization_acme"],
        ),
    ],
) -> Customer:
    return Customer.from_token(customer)


CustomerInPath = Annotated[Customer, Depends(_customer)]


class Registration(Body):
    """Who the customer is, and where their invoices go."""

    customer: Customer
    email: Email
    name: Annotated[Text, Field(min_length=1, max_length=250)] | None = None
    metadata: Metadata | None = None
    stripe_customer_id: StripeId | None = Field(default=None, description="Adopts Stripe's customer.")


class ToldEvent(Told):
    """One event of the feed."""

    sequence: int = Field(description="Its place in the feed.")
    type: str = Field(description="Such as `subscription.renewedV1`.")
    published_at: Instant
    body: dict[str, JsonValue]


class History(Told):
    """The latest of what has happened to a customer, newest first."""

    items: list[ToldEvent]


@router.get("", response_model=m.CustomerPage, responses=problem_responses(m.ListCustomers))
async def customers(
    _: AdminCaller,
    services: ServiceClientDep,
    search: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Customers, newest first; with `search` those whose id, email, name or Stripe id has it in it."""
    return await services.respond(m.ListCustomers(search=search, limit=limit, cursor=cursor))


@router.post(
    "", status_code=201, response_model=m.CustomerFound, responses=problem_responses(m.RegisterCustomer)
)
async def register(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: Registration
) -> Response:
    """Make a customer known, or change their email, name and metadata."""
    return await services.respond(command_for(m.RegisterCustomer, caller, command_id, body), 201)


@router.get("/{customer}", response_model=m.CustomerFound, responses=problem_responses(m.GetCustomer))
async def customer(_: AdminCaller, services: ServiceClientDep, customer: CustomerInPath) -> Response:
    """One customer."""
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
    """What a customer may use, and why."""
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
    """All that a customer may draw on."""
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
    """A customer's invoices, newest first."""
    return await services.respond(m.ListInvoices(customer=customer, limit=limit, cursor=cursor))


@router.get("/{customer}/history", response_model=History, responses=problem_responses())
async def history(_: AdminCaller, state: StateDep, customer: CustomerInPath) -> History:
    """What has happened to a customer, as the feed told it."""
    events = await state.change_feed.history(customer, HISTORY_MAX)
    return History(
        items=[
            ToldEvent(
                sequence=event.sequence,
                type=f"{event.entity}.{event.event}V{event.name.schema}",
                published_at=event.published_at,
                body=dict(event.body),
            )
            for event in reversed(events)
        ]
    )
