"""`/api/v1/billing`: plans, checkout, invoices, and the change of a plan with its preview."""

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
from tallystick.messages.base import Code, EntityId, Instant, Money, TolerantModel, Url
from tallystick.messages.catalog import Feature, GetCatalog, ProductWithPrices
from tallystick.messages.subscriptions.add_ons import Details

router = APIRouter(prefix="/api/v1/billing", tags=["plans"])


class Tiers(TolerantModel):
    """Plans that a customer can choose."""

    tiers: list[ProductWithPrices] = Field(description="The plans for sale, with their listed prices.")
    features: list[Feature] = Field(description="The features of the catalog, with their names.")


class CheckoutBody(Body, title="Checkout"):
    """The items to buy, and the return URLs."""

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
    trial: bool | None = Field(default=None, description="False: no trial. Absent: the trial of the catalog.")
    promotion_code: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class PortalBody(Body, title="Portal"):
    """The return URL of Stripe's page."""

    return_url: Url


class _ChangeOptions(Body):
    """The fields that previews and changes share."""

    quantity: m.Quantity | None = Field(default=None, description="Absent: unchanged.")
    when: m.When | None = Field(
        default=None, description="Absent: an increase now, a decrease at the end of the period."
    )
    proration: m.Proration = "prorate"
    subscription_id: EntityId | None = Field(default=None, description="Absent: the newest subscription.")


class _AgreedChange(_ChangeOptions):
    """The fields of a change at the sum of its preview."""

    due_now: Money | None = Field(
        default=None, description="The amount of the preview; absent: whatever is due is charged."
    )
    proration_date: Instant | None = Field(default=None, description="That of the preview; absent: now.")


class ChangeTierBody(_AgreedChange, title="ChangeTier"):
    """The new plan, and optionally a new quantity."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"price": "team_yearly", "quantity": 5, "when": "now"}]}
    )

    price: Code


class PreviewChangeBody(_ChangeOptions, title="Preview"):
    """The change to preview: another plan, another quantity, or an additional add-on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "team_yearly", "quantity": 5}]})

    price: Code | None = None
    add_price: Code | None = Field(
        default=None, description="An add-on's price, without `price` and `quantity`."
    )
    details: Details | None = Field(
        default=None, description="The details of the add-on; absent: they are not checked."
    )


@router.get("/tiers", response_model=Tiers, responses=problem_responses(GetCatalog))
async def tiers(_: ReadCaller, services: ServiceClientDep) -> Tiers:
    """List the plans for sale."""
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
    body: CheckoutBody,
) -> Response:
    """Start a checkout and return the URL of its page."""
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
    body: PortalBody,
) -> Response:
    """Open Stripe's customer portal for payment methods and invoices and return its URL."""
    check_return_urls(state.settings, caller, return_url=body.return_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.OpenPortal, caller, command_id, body), 201)


@router.get("/invoices", response_model=m.InvoicePage, responses=problem_responses(m.ListInvoices))
async def invoices(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the customer's invoices, newest first."""
    return await services.respond(m.ListInvoices(customer=caller.customer, limit=limit, cursor=cursor))


@router.get(
    "/upcoming-invoice", response_model=m.ComingInvoiceFound, responses=problem_responses(m.UpcomingInvoice)
)
async def upcoming_invoice(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """Show the upcoming invoice."""
    return await services.respond(m.UpcomingInvoice(customer=caller.customer))


@router.get(
    "/payment-method",
    response_model=m.PaymentMethodFound,
    responses=problem_responses(m.GetPaymentMethod),
)
async def payment_method(
    caller: ReadCaller, services: ServiceClientDep, subscription_id: EntityId | None = None
) -> Response:
    """Show the saved payment method that pays for a subscription, or for something new."""
    return await services.respond(
        m.GetPaymentMethod(customer=caller.customer, subscription_id=subscription_id)
    )


@router.post(
    "/preview-change",
    response_model=m.ChangePreview,
    responses=problem_responses(m.PreviewChange, m.GetSubscription, codes=POST_CODES),
)
async def preview_change(caller: ReadCaller, services: ServiceClientDep, body: PreviewChangeBody) -> Response:
    """Preview the cost of a change, with its invoice lines; nothing is changed."""
    target = await find_subscription(services, caller, body.subscription_id)
    fields = set_fields(body) | {"subscription_id": target.subscription_id}
    return await services.respond(m.PreviewChange.model_validate(fields))


@router.post(
    "/change-tier",
    response_model=m.SubscriptionChanged,
    responses=problem_responses(m.ChangePlan, m.GetSubscription, codes=["not_billing_manager"]),
)
async def change_tier(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ChangeTierBody
) -> Response:
    """Change the plan; `preview-change` shows the cost beforehand."""
    await require_billing_manager(services, caller)
    target = await find_subscription(services, caller, body.subscription_id)
    command = command_for(m.ChangePlan, caller, command_id, body, subscription_id=target.subscription_id)
    return await services.respond(command)
