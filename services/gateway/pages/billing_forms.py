"""The forms of the billing page: each sends one command and redirects to the page."""

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_subscription, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages.billing_data import INVOICES_SHOWN
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.forms import (
    FormCommandId,
    Text,
    parse_number,
    redirect,
    redirect_to_billing,
)
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)


@router.post("/checkout")
async def checkout(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, price: Text, quantity: Text = ""
) -> Response:
    """Buy a plan on Stripe's page, or subscribe to a free one directly."""
    await require_billing_manager(page.services, caller)
    items = [m.ItemToBuy(price=price, quantity=parse_number(quantity))]
    if await _is_free(page, price):
        await page.services.request(command_for(m.CreateSubscription, caller, command_id, items=items))
        return redirect_to_billing("bought")
    command = command_for(
        m.StartCheckout,
        caller,
        command_id,
        items=items,
        success_url=page.url("/billing?done=bought"),
        cancel_url=page.url("/billing/plans"),
    )
    started = await page.services.request(command)
    return redirect(started.checkout_url)


@router.post("/change/cancel")
async def cancel_change(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, subscription_id: Text = ""
) -> Response:
    """Cancel the scheduled change of the plan."""
    await require_billing_manager(page.services, caller)
    target = await find_subscription(page.services, caller, subscription_id or None)
    command = command_for(m.CancelScheduledChange, caller, command_id, subscription_id=target.subscription_id)
    await page.services.request(command)
    return redirect_to_billing("change_canceled", "plan")


@router.post("/cancel")
async def cancel(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    subscription_id: Text = "",
    reason: Text = "",
) -> Response:
    """Cancel the subscription that the page has shown, at the end of the period."""
    await require_billing_manager(page.services, caller)
    target = await find_subscription(page.services, caller, subscription_id or None)
    command = command_for(
        m.CancelSubscription,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        at="period_end",
        reason=reason.strip() or None,
    )
    await page.services.request(command)
    return redirect_to_billing("canceled", "plan")


@router.post("/reactivate")
async def reactivate(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, subscription_id: Text = ""
) -> Response:
    """Undo the cancellation of the subscription."""
    await require_billing_manager(page.services, caller)
    target = await find_subscription(page.services, caller, subscription_id or None)
    command = command_for(
        m.ReactivateSubscription, caller, command_id, subscription_id=target.subscription_id
    )
    await page.services.request(command)
    return redirect_to_billing("reactivated", "plan")


@router.post("/portal")
async def portal(caller: ManageCaller, page: PageContextDep, command_id: FormCommandId) -> Response:
    """Open Stripe's page for payment methods; a new one pays what is open."""
    await require_billing_manager(page.services, caller)
    back = "/billing?done=payment_method" if await _owes(page, caller) else "/billing"
    command = command_for(m.OpenPortal, caller, command_id, return_url=page.url(back))
    return redirect((await page.services.request(command)).portal_url)


async def _owes(page: PageContext, caller: Caller) -> bool:
    """Return whether one of the customer's newest invoices is open."""
    listed = await page.services.request(m.ListInvoices(customer=caller.customer, limit=INVOICES_SHOWN))
    return any(invoice.status == "open" for invoice in listed.items)


async def _is_free(page: PageContext, price: str) -> bool:
    catalog = CatalogIndex((await page.services.request(GetCatalog())).catalog)
    found = catalog.price(price)
    return found is not None and found.model == "free"
