"""`/api/v1/billing`: what is bought beside a plan."""

from typing import Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.catalog_listing import listed_products, unarchived_features
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep, StateDep
from services.gateway.openapi.responses import STRIPE_PAGE_CODES, problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.return_urls import check_return_urls
from services.gateway.schemas import Body, Cursor, Limit
from services.gateway.service_client import ServiceClient
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Code, EntityId, Told, Url
from tallystick.messages.catalog import Feature, GetCatalog, ProductWithPrices
from tallystick.messages.subscriptions.add_ons import Details

router = APIRouter(prefix="/api/v1/billing", tags=["add-ons"])

PAGE_MAX = 200


class AddOns(Told):
    """Add-ons that a customer can buy."""

    addons: list[ProductWithPrices]
    features: list[Feature] = Field(description="What the add-ons' features are called.")


class Purchase(Body):
    """Which add-on, what it must know, and where to come back to if a page is needed to pay."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "price": "custom_domain_yearly",
                    "details": {"domain_name": "shop.example.com"},
                    "success_url": "https://app.example.com/thanks",
                    "cancel_url": "https://app.example.com/plans",
                }
            ]
        }
    )

    price: Code
    details: Details = Field(default={}, description="What the product asks for, by its codes.")
    success_url: Url
    cancel_url: Url


@router.get("/addons", response_model=AddOns, responses=problem_responses(GetCatalog))
async def add_ons(_: ReadCaller, services: ServiceClientDep) -> AddOns:
    """The add-ons that can be bought."""
    catalog = (await services.request(GetCatalog())).catalog
    return AddOns(addons=listed_products(catalog, "add_on"), features=unarchived_features(catalog.features))


@router.get("/my-addons", response_model=m.AddOnPage, responses=problem_responses(m.ListAddOns))
async def my_add_ons(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The customer's add-ons, newest first, those that have ended included."""
    return await services.respond(m.ListAddOns(customer=caller.customer, limit=limit, cursor=cursor))


@router.post(
    "/addons/purchase",
    status_code=201,
    response_model=m.AddOnPurchased,
    responses=problem_responses(m.PurchaseAddOn, codes=STRIPE_PAGE_CODES),
)
async def purchase(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: Purchase,
) -> Response:
    """Buy an add-on with the saved card, else on a page whose URL is the answer."""
    check_return_urls(state.settings, caller, success_url=body.success_url, cancel_url=body.cancel_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.PurchaseAddOn, caller, command_id, body), 201)


@router.delete(
    "/addons/{id}",
    response_model=m.AddOnFound,
    responses=problem_responses(m.CancelAddOn, codes=["not_billing_manager", "not_found"]),
)
async def cancel(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    id: EntityId,  # noqa: A002 - the route's public name
    at: Literal["period_end", "now"] = Query(default="period_end"),
) -> Response:
    """End an add-on, when what is paid for is over unless told otherwise."""
    await require_billing_manager(services, caller)
    await _must_be_theirs(services, caller, id)
    return await services.respond(command_for(m.CancelAddOn, caller, command_id, add_on_id=id, at=at))


async def _must_be_theirs(services: ServiceClient, caller: Caller, add_on_id: str) -> None:
    cursor: str | None = None
    while True:
        question = m.ListAddOns(customer=caller.customer, limit=PAGE_MAX, cursor=cursor)
        page = await services.request(question)
        if any(add_on.add_on_id == add_on_id for add_on in page.items):
            return
        cursor = page.next_cursor
        if cursor is None:
            raise ProblemError("not_found", "There is no such add-on.")
