"""`/billing/change`: a change of the plan, which shows its sum and is then made for exactly that sum."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller, ReadCaller
from services.gateway.auth.ownership import find_subscription, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages import view_models
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.confirmation import (
    agreed_amount,
    agreed_moment,
    load_payment_method,
    payment_view,
    term_text,
)
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import FormCommandId, Text, parse_number, redirect_to_billing
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.plan_state import DEFAULT_WHEN, has_price, proration_for, state_fingerprint
from services.gateway.pages.price_text import format_price
from services.gateway.pages.unit_changes import unit_texts
from services.gateway.problem_details import ProblemError
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)

FormText = Annotated[str, Query(max_length=100)]
When = Literal["now", "period_end"]


@router.get("/change")
async def preview_change(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    price: FormText,
    quantity: FormText = "",
    when: Annotated[When | None, Query()] = None,
) -> Response:
    """Preview a change of the plan."""
    await require_billing_manager(page.services, caller)
    target = await find_subscription(page.services, caller)
    return await _confirmation(request, caller, page, target, price, quantity, when)


@router.post("/change")
async def change_plan(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    price: Text,
    when: Annotated[When, Form()],
    seen: Text,
    quantity: Text = "",
    due_amount: Text = "",
    due_currency: Text = "",
    proration_date: Text = "",
) -> Response:
    """Change the plan as previewed; `seen` is the fingerprint of the state that the preview was made for."""
    await require_billing_manager(page.services, caller)
    target = await find_subscription(page.services, caller)
    if state_fingerprint(target) != seen and not has_price(target, price):
        raise ProblemError("changed_meanwhile")
    due_now = agreed_amount(due_amount, due_currency)
    if due_now is None:
        return await _confirmation(request, caller, page, target, price, quantity, when)
    command = command_for(
        m.ChangePlan,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        price=price,
        quantity=parse_number(quantity),
        when=when,
        proration=proration_for(when),
        due_now=due_now,
        proration_date=agreed_moment(proration_date),
    )
    try:
        changed = await page.services.request(command)
    except ProblemError as error:
        if error.code != "amount_changed":
            raise
        return await _confirmation(request, caller, page, target, price, quantity, when, error)
    return redirect_to_billing("change_scheduled" if changed.scheduled_change else "changed", "plan")


async def _confirmation(
    request: Request,
    caller: Caller,
    page: PageContext,
    target: m.SubscriptionSnapshot,
    price: str,
    quantity: str,
    when: When | None,
    error: ProblemError | None = None,
) -> Response:
    translations = translations_for_request(request)
    catalog = CatalogIndex((await page.services.request(GetCatalog())).catalog)
    product = next(
        (product for product in catalog.plans if any(p.code == price for p in product.prices)), None
    )
    chosen = catalog.price(price)
    if product is None or chosen is None:
        raise ProblemError("unknown_price")
    new_quantity = parse_number(quantity)
    question = m.PreviewChange(
        subscription_id=target.subscription_id,
        price=price,
        quantity=new_quantity,
        when=when,
        proration=proration_for(when or "now"),  # nothing is prorated at the end of a period
    )
    preview = await page.services.request(question)
    method = await load_payment_method(page, caller.customer, target.subscription_id)
    cost = format_price(chosen, translations, new_quantity)
    return page.templates.render(
        request,
        "change.html",
        caller=caller,
        status=error.status if error else 200,
        page_url=None if request.method == "GET" else "/billing",
        problem=error_message(error, translations) if error else None,
        heading=translations.translate("change.heading", name=product.name),
        preview=view_models.preview_view(preview, translations, unit_texts(preview, catalog, translations)),
        payment=payment_view(preview.due_now, method, translations, preview.proration_date),
        term=term_text(preview, cost, translations) if preview.due_now.amount else None,
        cost=cost,
        has_seats=product.seats is not None,
        seats=product.seats,
        price=price,
        quantity=new_quantity or (target.items[0].quantity if product.seats and target.items else None),
        when=when or preview.when or DEFAULT_WHEN,
        seen=state_fingerprint(target),
        period_end=translations.date(target.current_period_end) if target.current_period_end else None,
    )
