"""The form of an automatic recharge; what it buys at once is confirmed first."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_payable_account, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.confirmation import agreed_amount, charge_view, load_payment_method, payment_view
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import FormCommandId, Text, parse_amount, parse_number, redirect_to_billing
from services.gateway.pages.i18n import translations_for_request
from services.gateway.problem_details import ProblemError
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)

KEPT_FIELDS = ("account", "feature", "threshold", "recharge_quantity", "cap", "currency", "enabled")
"""The fields of the form that its confirmation sends again."""
RULE_FIELDS = ("account", "feature", "enabled", "threshold", "recharge_quantity", "max_spend_per_period")
OK = 200


@router.post("/auto-recharge")
async def set_auto_recharge(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    account: Text,
    feature: Text,
    threshold: Text,
    recharge_quantity: Text,
    cap: Text = "",
    currency: Text = "",
    enabled: Text = "",
    due_amount: Text = "",
    due_currency: Text = "",
) -> Response:
    """Configure the automatic purchase of units; a purchase that it makes at once is confirmed first."""
    await require_billing_manager(page.services, caller)
    spend = parse_amount(cap, currency)
    command = command_for(
        consumables.SetAutoRecharge,
        caller,
        command_id,
        account=await find_payable_account(page.services, caller, account),
        feature=feature,
        enabled=enabled == "yes",
        threshold=parse_number(threshold),
        recharge_quantity=parse_number(recharge_quantity),
        max_spend_per_period=Money(amount=spend, currency=currency) if spend is not None else None,
        due_now=agreed_amount(due_amount, due_currency),
    )
    if command.due_now is None:
        preview = await _preview(page, command)
        if preview.due_now.amount:
            return await _confirmation(request, caller, page, command, preview)
        command = command.model_copy(update={"due_now": preview.due_now})
    try:
        await page.services.request(command)
    except ProblemError as error:
        if error.code != "amount_changed":
            raise
        preview = await _preview(page, command)
        return await _confirmation(request, caller, page, command, preview, error)
    return redirect_to_billing("recharge_set", "recharge")


async def _preview(
    page: PageContext, command: consumables.SetAutoRecharge
) -> consumables.AutoRechargePreview:
    rule = command.model_dump(include=set(RULE_FIELDS))
    return await page.services.request(consumables.PreviewAutoRecharge.model_validate(rule))


async def _confirmation(
    request: Request,
    caller: Caller,
    page: PageContext,
    command: consumables.SetAutoRecharge,
    preview: consumables.AutoRechargePreview,
    error: ProblemError | None = None,
) -> Response:
    translations = translations_for_request(request)
    catalog = CatalogIndex((await page.services.request(GetCatalog(include_archived=True))).catalog)
    name = catalog.feature_name(command.feature)
    quantity, charge = translations.number(preview.quantity), None
    if preview.due_now.amount:
        question = m.PreviewCharge(
            customer=caller.customer,
            amount=m.Charge(**preview.due_now.model_dump()),
            feature=command.feature,
        )
        charge = await page.services.request(question)
    due = preview.due_now
    if charge is not None:
        due = Money(amount=charge.totals.amount_due, currency=charge.currency)
    form = await request.form()
    return page.templates.render(
        request,
        "confirm/recharge.html",
        caller=caller,
        status=error.status if error else OK,
        page_url="/billing",
        problem=error_message(error, translations) if error else None,
        name=name,
        quantity=quantity,
        threshold=translations.number(command.threshold),
        unit_price=translations.price(preview.unit_price),
        cost=charge_view(charge, f"{quantity} × {name}", preview.due_now, translations) if charge else None,
        payment=payment_view(due, await load_payment_method(page, caller.customer), translations),
        agreed=preview.due_now,
        kept={field: str(form.get(field, "")) for field in KEPT_FIELDS},
    )
