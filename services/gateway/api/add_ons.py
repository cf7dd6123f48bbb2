"""`/api/v1/billing`: add-ons that are bought in addition to a plan."""

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
from tallystick.messages.base import Code, EntityId, Money, TolerantModel, Url
from tallystick.messages.catalog import Feature, GetCatalog, ProductWithPrices
from tallystick.messages.subscriptions.add_ons import Details

router = APIRouter(prefix="/api/v1/billing", tags=["add-ons"])

PAGE_MAX = 200


class AddOns(TolerantModel):
    """Add-ons that a customer can buy."""

    addons: list[ProductWithPrices]
    features: list[Feature] = Field(description="The features of the catalog, with their names.")


class PurchaseAddOnBody(Body, title="Purchase"):
    """The add-on to buy, its details, and return URLs in case the payment needs a page."""

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
    details: Details = Field(default={}, description="The details that the product requires, by their codes.")
    success_url: Url
    cancel_url: Url
    due_now: Money | None = Field(
        default=None, description="The amount of the preview; absent: whatever is due is charged."
    )


@router.get("/addons", response_model=AddOns, responses=problem_responses(GetCatalog))
async def add_ons(_: ReadCaller, services: ServiceClientDep) -> AddOns:
    """List the add-ons for sale."""
    catalog = (await services.request(GetCatalog())).catalog
    return AddOns(addons=listed_products(catalog, "add_on"), features=unarchived_features(catalog.features))


@router.get("/my-addons", response_model=m.AddOnPage, responses=problem_responses(m.ListAddOns))
async def my_add_ons(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the customer's add-ons, including ended ones, newest first."""
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
    body: PurchaseAddOnBody,
) -> Response:
    """Buy an add-on with the saved card, or return the URL of a page to pay on."""
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
    """Cancel an add-on, by default at the end of the paid period."""
    await require_billing_manager(services, caller)
    await _check_owner(services, caller, id)
    return await services.respond(command_for(m.CancelAddOn, caller, command_id, add_on_id=id, at=at))


async def _check_owner(services: ServiceClient, caller: Caller, add_on_id: str) -> None:
    cursor: str | None = None
    while True:
        question = m.ListAddOns(customer=caller.customer, limit=PAGE_MAX, cursor=cursor)
        page = await services.request(question)
        if any(add_on.add_on_id == add_on_id for add_on in page.items):
            return
        cursor = page.next_cursor
        if cursor is None:
            raise ProblemError("not_found", "There is no such add-on.")
