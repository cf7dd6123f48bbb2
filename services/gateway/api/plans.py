"""`/api/v1/billing`: what can be bought, what a change costs, and what has been invoiced."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_subscription, require_billing_manager
from services.gateway.catalog_listing import listed_products, unarchived_features
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep, StateDep
from services.gateway.openapi.responses import POST_CODES, STRIPE_PAGE_CODES, problem_responses
from services.gateway.return_urls import check_return_urls
from services.gateway.schemas import Body, Cursor, Limit, set_fields
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Code, EntityId, Told, Url
from tallystick.messages.catalog import Feature, GetCatalog, ProductWithPrices

router = APIRouter(prefix="/api/v1/billing", tags=["plans"])


class Tiers(Told):
    """What a customer can choose from."""

    tiers: list[ProductWithPrices] = Field(description="Plans on sale, with the prices that are listed.")
    features: list[Feature] = Field(description="What the plans' features are called.")


class Checkout(Body):
    """What to buy, and where to come back to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [{"price": "team_monthly", "quantity": 5}],
                    "success_url": "https://app.example.com/thanks",
                    "cancel_url": "https://app.example.com/plans",
                }
            ]
        }
    )

    items: m.ItemsToBuy
    success_url: Url
    cancel_url: Url
    trial: bool | None = Field(default=None, description="False: none. Absent: as the catalog offers.")
    promotion_code: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class Portal(Body):
    """Where Stripe's page leads back to."""

    return_url: Url


class Change(Body):
    """What previews and changes have in common."""

    quantity: m.Quantity | None = Field(default=None, description="Absent: as now.")
    when: m.When | None = Field(default=None, description="Absent: more at once, less at the period's end.")
    proration: m.Proration = "prorate"
    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest.")


class ChangeTier(Change):
    """Another plan, and with it perhaps another quantity."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"price": "team_yearly", "quantity": 5, "when": "now"}]}
    )

    price: Code


class Preview(Change):
    """A change to be priced: another plan, another quantity, or an add-on besides."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "team_yearly", "quantity": 5}]})

    price: Code | None = None
    add_price: Code | None = Field(default=None, description="An add-on; alone.")


@router.get("/tiers", response_model=Tiers, responses=problem_responses(GetCatalog))
async def tiers(_: ReadCaller, services: ServiceClientDep) -> Tiers:
    """The plans that can be chosen."""
    catalog = (await services.request(GetCatalog())).catalog
    return Tiers(tiers=listed_products(catalog, "plan"), features=unarchived_features(catalog.features))


@router.post(
    "/checkout",
    status_code=201,
    response_model=m.CheckoutStarted,
    responses=problem_responses(m.StartCheckout, codes=STRIPE_PAGE_CODES),
)
async def checkout(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: Checkout,
) -> Response:
    """Open a page where the customer buys a subscription."""
    check_return_urls(state.settings, caller, success_url=body.success_url, cancel_url=body.cancel_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.StartCheckout, caller, command_id, body), 201)


@router.post(
    "/portal",
    status_code=201,
    response_model=m.PortalOpened,
    responses=problem_responses(m.OpenPortal, codes=STRIPE_PAGE_CODES),
)
async def portal(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: Portal,
) -> Response:
    """Open Stripe's page for payment methods and invoices."""
    check_return_urls(state.settings, caller, return_url=body.return_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.OpenPortal, caller, command_id, body), 201)


@router.get("/invoices", response_model=m.InvoicePage, responses=problem_responses(m.ListInvoices))
async def invoices(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Invoices, newest first."""
    return await services.respond(m.ListInvoices(customer=caller.customer, limit=limit, cursor=cursor))


@router.get(
    "/upcoming-invoice", response_model=m.ComingInvoiceFound, responses=problem_responses(m.UpcomingInvoice)
)
async def upcoming_invoice(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """The invoice that comes next if nothing changes."""
    return await services.respond(m.UpcomingInvoice(customer=caller.customer))


@router.post(
    "/preview-change",
    response_model=m.ChangePreview,
    responses=problem_responses(m.PreviewChange, m.GetSubscription, codes=POST_CODES),
)
async def preview_change(caller: ReadCaller, services: ServiceClientDep, body: Preview) -> Response:
    """What a change would cost, with the lines that it then makes; nothing is changed."""
    target = await find_subscription(services, caller, body.subscription_id)
    fields = set_fields(body) | {"subscription_id": target.subscription_id}
    return await services.respond(m.PreviewChange.model_validate(fields))


@router.post(
    "/change-tier",
    response_model=m.SubscriptionChanged,
    responses=problem_responses(m.ChangePlan, m.GetSubscription, codes=["not_billing_manager"]),
)
async def change_tier(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ChangeTier
) -> Response:
    """Move to another plan; `preview-change` says beforehand what it costs."""
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, body.subscription_id)
    command = command_for(m.ChangePlan, caller, command_id, body, subscription_id=target.subscription_id)
    return await services.respond(command)
