"""What the forms of the billing page do: each is one command, and leads back to the page."""

import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from services.gateway.auth.authentication import Managing
from services.gateway.auth.ownership import account_to_pay_for, may_change, subscription_of
from services.gateway.commands import command_for
from services.gateway.pages.billing_data import CatalogListing
from services.gateway.pages.dependencies import PageParts, Shown
from services.gateway.pages.forms import FormCommandId, Text, amount, away, back, number
from services.gateway.pages.page_route import ActionRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=ActionRoute)

When = Annotated[Literal["now", "period_end"], Form()]
PREVIEWED = {"subscription_id", "items", "current_period_end", "cancel_at_period_end", "scheduled_change"}
DETAIL_PREFIX = "detail_"
"""Form fields with what the buyer of an add-on must tell."""


@router.post("/checkout")
async def checkout(
    caller: Managing, shown: Shown, command_id: FormCommandId, price: Text, quantity: Text = ""
) -> Response:
    """Buy a plan on Stripe's page; a free one at once."""
    await may_change(shown.billing, caller)
    items = [m.ItemToBuy(price=price, quantity=number(quantity))]
    if await _is_free(shown, price):
        await shown.billing.ask(command_for(m.CreateSubscription, caller, command_id, items=items))
        return back("bought")
    command = command_for(
        m.StartCheckout,
        caller,
        command_id,
        items=items,
        success_url=shown.url("/billing?done=bought"),
        cancel_url=shown.url("/billing/plans"),
    )
    started = await shown.billing.ask(command)
    return away(started.checkout_url)


@router.post("/change")
async def change_plan(
    caller: Managing,
    shown: Shown,
    command_id: FormCommandId,
    price: Text,
    when: When,
    seen: Text,
    quantity: Text = "",
) -> Response:
    """Move to another plan, as the preview showed it; `seen` is what it was made from."""
    await may_change(shown.billing, caller)
    target = await subscription_of(shown.billing, caller)
    if state_of(target) != seen and not _is_wanted(target, price):
        raise ProblemError("changed_meanwhile")
    command = command_for(
        m.ChangePlan,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        price=price,
        quantity=number(quantity),
        when=when,
        proration=proration(when),
    )
    changed = await shown.billing.ask(command)
    return back("change_scheduled" if changed.scheduled_change else "changed", "plan")


@router.post("/change/cancel")
async def cancel_change(
    caller: Managing, shown: Shown, command_id: FormCommandId, subscription_id: Text = ""
) -> Response:
    """Let the plan go on as it is."""
    await may_change(shown.billing, caller)
    target = await subscription_of(shown.billing, caller, subscription_id or None)
    command = command_for(m.CancelScheduledChange, caller, command_id, subscription_id=target.subscription_id)
    await shown.billing.ask(command)
    return back("change_canceled", "plan")


@router.post("/cancel")
async def cancel(
    caller: Managing, shown: Shown, command_id: FormCommandId, subscription_id: Text = "", reason: Text = ""
) -> Response:
    """End the subscription that the page has shown, when what is paid for is over."""
    await may_change(shown.billing, caller)
    target = await subscription_of(shown.billing, caller, subscription_id or None)
    command = command_for(
        m.CancelSubscription,
        caller,
        command_id,
        subscription_id=target.subscription_id,
        at="period_end",
        reason=reason.strip() or None,
    )
    await shown.billing.ask(command)
    return back("canceled", "plan")


@router.post("/reactivate")
async def reactivate(
    caller: Managing, shown: Shown, command_id: FormCommandId, subscription_id: Text = ""
) -> Response:
    """Let the subscription go on after all."""
    await may_change(shown.billing, caller)
    target = await subscription_of(shown.billing, caller, subscription_id or None)
    command = command_for(
        m.ReactivateSubscription, caller, command_id, subscription_id=target.subscription_id
    )
    await shown.billing.ask(command)
    return back("reactivated", "plan")


@router.post("/portal")
async def portal(caller: Managing, shown: Shown, command_id: FormCommandId) -> Response:
    """Look after payment methods on Stripe's page."""
    await may_change(shown.billing, caller)
    command = command_for(m.OpenPortal, caller, command_id, return_url=shown.url("/billing"))
    return away((await shown.billing.ask(command)).portal_url)


@router.post("/add-ons/buy")
async def buy_add_on(
    request: Request, caller: Managing, shown: Shown, command_id: FormCommandId, price: Text
) -> Response:
    """Buy an add-on with the saved card, else on Stripe's page."""
    await may_change(shown.billing, caller)
    form = await request.form()
    details = {
        name.removeprefix(DETAIL_PREFIX): str(value).strip()
        for name, value in form.items()
        if name.startswith(DETAIL_PREFIX)
    }
    command = command_for(
        m.PurchaseAddOn,
        caller,
        command_id,
        price=price,
        details=details,
        success_url=shown.url("/billing?done=add_on_bought"),
        cancel_url=shown.url("/billing"),
    )
    bought = await shown.billing.ask(command)
    return away(bought.checkout_url) if bought.checkout_url else back("add_on_bought", "add-ons")


@router.post("/add-ons/cancel")
async def cancel_add_on(
    caller: Managing, shown: Shown, command_id: FormCommandId, add_on_id: Text
) -> Response:
    """End an add-on when what is paid for is over."""
    await may_change(shown.billing, caller)
    listed = await shown.billing.ask(m.ListAddOns(customer=caller.customer, limit=200))
    if all(add_on.add_on_id != add_on_id for add_on in listed.items):
        raise ProblemError("not_found", "There is no such add-on.")
    command = command_for(m.CancelAddOn, caller, command_id, add_on_id=add_on_id, at="period_end")
    await shown.billing.ask(command)
    return back("add_on_canceled", "add-ons")


@router.post("/auto-recharge")
async def set_auto_recharge(
    caller: Managing,
    shown: Shown,
    command_id: FormCommandId,
    account: Text,
    feature: Text,
    threshold: Text,
    recharge_quantity: Text,
    cap: Text = "",
    currency: Text = "",
    enabled: Text = "",
) -> Response:
    """Have more units bought whenever they run low."""
    await may_change(shown.billing, caller)
    spend = amount(cap, currency)
    command = command_for(
        consumables.SetAutoRecharge,
        caller,
        command_id,
        account=await account_to_pay_for(shown.billing, caller, account),
        feature=feature,
        enabled=enabled == "yes",
        threshold=number(threshold),
        recharge_quantity=number(recharge_quantity),
        max_spend_per_period=Money(amount=spend, currency=currency) if spend is not None else None,
    )
    await shown.billing.ask(command)
    return back("recharge_set", "recharge")


def state_of(subscription: m.SubscriptionSnapshot) -> str:
    """What a preview was made from, short enough for a form; payments alone do not change it."""
    shown = subscription.model_dump_json(include=PREVIEWED)
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def proration(when: str) -> m.Proration:
    """A change at once is paid at once, so that the preview's first figure is what is charged."""
    return "invoice" if when == "now" else "none"


def _is_wanted(subscription: m.SubscriptionSnapshot, price: str) -> bool:
    """Whether it has come about already: of a form that is sent twice, the second time."""
    scheduled = subscription.scheduled_change
    return any(item.price == price for item in subscription.items) or (
        scheduled is not None and scheduled.price == price
    )


async def _is_free(shown: PageParts, price: str) -> bool:
    shelf = CatalogListing((await shown.billing.ask(GetCatalog())).catalog)
    found = shelf.price(price)
    return found is not None and found.model == "free"
