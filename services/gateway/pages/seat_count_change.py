"""`/billing/seats/count`: another number of seats, which shows its sum and is made for exactly that sum."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller, ReadCaller
from services.gateway.auth.ownership import find_team
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
)
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import FormCommandId, Text, parse_number, redirect_to_billing
from services.gateway.pages.i18n import Translations, translations_for_request
from services.gateway.pages.plan_state import DEFAULT_WHEN, proration_for
from services.gateway.pages.unit_changes import unit_texts
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats as m
from tallystick.messages.catalog import GetCatalog
from tallystick.messages.subscriptions import ChangePreview

router = APIRouter(prefix="/billing/seats", include_in_schema=False, route_class=BillingFormRoute)

FormText = Annotated[str, Query(max_length=100)]
When = Literal["now", "period_end"]


@router.get("/count")
async def preview_count(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    quantity: FormText = "",
    when: Annotated[When | None, Query()] = None,
) -> Response:
    """Preview a change of the number of seats."""
    team = await find_team(page.services, caller)
    return await _confirmation(request, caller, page, team, parse_number(quantity), when)


@router.post("/count")
async def change_count(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    quantity: Text,
    when: Annotated[When, Form()],
    seen: Text,
    due_amount: Text = "",
    due_currency: Text = "",
    proration_date: Text = "",
) -> Response:
    """Change the number of seats as previewed; `seen` is the number that the preview was made for."""
    team = await find_team(page.services, caller)
    new_quantity = parse_number(quantity)
    # If the number is already the new one, the form was sent twice.
    if seen != str(team.quantity) and new_quantity not in (team.quantity, team.scheduled_quantity):
        raise ProblemError("changed_meanwhile")
    due_now = agreed_amount(due_amount, due_currency)
    if due_now is None and team.billing_manager == caller.person:
        return await _confirmation(request, caller, page, team, new_quantity, when)
    command = command_for(
        m.ChangeSeatCount,
        caller,
        command_id,
        team_id=team.team_id,
        quantity=new_quantity,
        when=when,
        proration=proration_for(when),
        due_now=due_now,
        proration_date=agreed_moment(proration_date),
    )
    try:
        await page.services.request(command)
    except ProblemError as error:
        if error.code != "amount_changed":
            raise
        return await _confirmation(request, caller, page, team, new_quantity, when, error)
    return redirect_to_billing("seats_changed" if when == "now" else "change_scheduled", "team")


async def _confirmation(
    request: Request,
    caller: Caller,
    page: PageContext,
    team: m.TeamSnapshot,
    quantity: int | None,
    when: When | None,
    error: ProblemError | None = None,
) -> Response:
    translations = translations_for_request(request)
    preview = payment = None
    if quantity is not None and quantity != team.quantity:
        question = m.PreviewSeatChange(
            team_id=team.team_id, quantity=quantity, when=when, proration=proration_for(when or "now")
        )
        cost = await page.services.request(question)
        when = when or cost.when or DEFAULT_WHEN
        preview = view_models.preview_view(cost, translations, await _unit_texts(page, cost, translations))
        method = await load_payment_method(page, team.customer, team.subscription_id)
        payment = payment_view(cost.due_now, method, translations, cost.proration_date)
    return page.templates.render(
        request,
        "seat_count.html",
        caller=caller,
        status=error.status if error else 200,
        page_url=None if request.method == "GET" else "/billing",
        problem=error_message(error, translations) if error else None,
        team=team,
        quantity=quantity,
        when=when,
        preview=preview,
        payment=payment,
    )


async def _unit_texts(page: PageContext, cost: ChangePreview, translations: Translations) -> list[str]:
    """Describe what happens to units; another number of seats usually leaves them as they are."""
    if not cost.units:
        return []
    catalog = CatalogIndex((await page.services.request(GetCatalog())).catalog)
    return unit_texts(cost, catalog, translations)
