"""The forms of add-ons: a purchase, which is confirmed first, and the end, which can be undone."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller, ReadCaller
from services.gateway.auth.ownership import find_subscription, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages import view_models
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_parts import LISTED_MAX, CatalogIndex
from services.gateway.pages.confirmation import agreed_amount, load_payment_method, payment_view, term_text
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import FormCommandId, Text, redirect, redirect_to_billing
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.price_text import format_price
from services.gateway.pages.unit_changes import unit_texts
from services.gateway.problem_details import ProblemError
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)

DETAIL_PREFIX = "detail_"
"""Prefix of the form fields with the details that an add-on requires."""
CONFIRMATION = "/billing/add-ons/buy"
ALL_OK = 200


@router.get("/add-ons/buy")
async def confirm_add_on(
    request: Request, caller: ReadCaller, page: PageContextDep, price: str = ""
) -> Response:
    """Show what an add-on costs, before it is bought."""
    await require_billing_manager(page.services, caller)
    return await _confirmation(request, caller, page, price, _details(request.query_params.items()))


@router.post("/add-ons/buy")
async def buy_add_on(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    price: Text,
    due_amount: Text = "",
    due_currency: Text = "",
) -> Response:
    """Buy an add-on for the confirmed sum, with the saved card or on Stripe's page."""
    await require_billing_manager(page.services, caller)
    details = _details((await request.form()).items())
    due_now = agreed_amount(due_amount, due_currency)
    if due_now is None:
        return await _confirmation(request, caller, page, price, details)
    command = command_for(
        m.PurchaseAddOn,
        caller,
        command_id,
        price=price,
        details=details,
        success_url=page.url("/billing?done=add_on_bought"),
        cancel_url=page.url("/billing"),
        due_now=due_now,
    )
    try:
        bought = await page.services.request(command)
    except ProblemError as error:
        if error.code == "amount_changed":
            return await _confirmation(request, caller, page, price, details, error)
        if (open_page := _open_checkout(error)) is not None:
            return redirect(open_page)
        raise
    if bought.checkout_url:
        return redirect(bought.checkout_url)
    return redirect_to_billing("add_on_bought", "add-ons")


@router.post("/add-ons/cancel")
async def cancel_add_on(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, add_on_id: Text
) -> Response:
    """Cancel an add-on at the end of the period."""
    await require_billing_manager(page.services, caller)
    await _own_add_on(page, caller, add_on_id)
    command = command_for(m.CancelAddOn, caller, command_id, add_on_id=add_on_id, at="period_end")
    await page.services.request(command)
    return redirect_to_billing("add_on_canceled", "add-ons")


@router.post("/add-ons/keep")
async def keep_add_on(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, add_on_id: Text
) -> Response:
    """Undo the cancellation of an add-on."""
    await require_billing_manager(page.services, caller)
    add_on = await _own_add_on(page, caller, add_on_id)
    command = command_for(
        m.ReactivateSubscription, caller, command_id, subscription_id=add_on.subscription_id
    )
    await page.services.request(command)
    return redirect_to_billing("add_on_kept", "add-ons")


async def _confirmation(
    request: Request,
    caller: Caller,
    page: PageContext,
    code: str,
    details: dict[str, str],
    error: ProblemError | None = None,
) -> Response:
    translations = translations_for_request(request)
    catalog = CatalogIndex((await page.services.request(GetCatalog())).catalog)
    price = catalog.price(code)
    product = catalog.product(price.product) if price else None
    if price is None or product is None:
        raise ProblemError("unknown_price")
    plan = await find_subscription(page.services, caller)
    question = m.PreviewChange(subscription_id=plan.subscription_id, add_price=code, details=details)
    preview = await page.services.request(question)
    cost = format_price(price, translations)
    return page.templates.render(
        request,
        "confirm/add_on.html",
        caller=caller,
        status=error.status if error else ALL_OK,
        page_url=None if request.method == "GET" else "/billing",
        problem=error_message(error, translations) if error else None,
        name=product.name,
        cost=cost,
        price=code,
        details={f"{DETAIL_PREFIX}{name}": value for name, value in details.items()},
        described=[(translations.label("detail", name), value) for name, value in details.items()],
        term=term_text(preview, cost, translations),
        preview=view_models.preview_view(preview, translations, unit_texts(preview, catalog, translations)),
        payment=payment_view(preview.due_now, await load_payment_method(page, caller.customer), translations),
    )


def _details(fields: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return the details of the buyer in a form's fields, by their codes."""
    return {
        name.removeprefix(DETAIL_PREFIX): str(value).strip()
        for name, value in fields
        if name.startswith(DETAIL_PREFIX)
    }


def _open_checkout(error: ProblemError) -> str | None:
    """Return Stripe's page on which the same purchase waits for its payment already, if there is one."""
    facts = error.details if error.code == "already_subscribed" and isinstance(error.details, dict) else {}
    url = facts.get("checkout_url")
    return url if isinstance(url, str) else None


async def _own_add_on(page: PageContext, caller: Caller, add_on_id: str) -> m.AddOnSnapshot:
    listed = await page.services.request(m.ListAddOns(customer=caller.customer, limit=LISTED_MAX))
    found = next((add_on for add_on in listed.items if add_on.add_on_id == add_on_id), None)
    if found is None:
        raise ProblemError("not_found", "There is no such add-on.")
    return found
