"""Choosing a plan or a number of seats: what it costs is shown before it is confirmed."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import Reading
from services.gateway.auth.ownership import may_change, subscription_of, team_of
from services.gateway.pages import view_models
from services.gateway.pages.billing_data import CatalogListing
from services.gateway.pages.billing_forms import proration, state_of
from services.gateway.pages.dependencies import Shown
from services.gateway.pages.forms import number
from services.gateway.pages.i18n import words_for
from services.gateway.pages.page_route import ActionRoute
from services.gateway.pages.price_text import cost_of
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=ActionRoute)

Typed = Annotated[str, Query(max_length=100)]
When = Annotated[Literal["now", "period_end"], Query()]
WAITS: m.When = "period_end"
"""When what is previewed happens if it changes nothing: it is scheduled already."""


@router.get("/plans")
async def plans(request: Request, caller: Reading, shown: Shown) -> Response:
    """All plans: to buy the first, or to change to another."""
    words = words_for(request)
    shelf = CatalogListing((await shown.billing.ask(GetCatalog(include_archived=True))).catalog)
    current = await _current(shown, caller)
    item = current.items[0] if current and current.items else None
    price = shelf.price(item.price) if item else None
    offers = view_models.offers(shelf.plans, shelf, words, price.code if price else None)
    pays = current is not None and (price is None or price.model != "free")
    return shown.templates.page(
        request,
        "plans.html",
        caller=caller,
        # Nobody changes from a paid plan to a free one, which would run beside it: the paid one is cancelled.
        offers=[offer for offer in offers if not (pays and offer.is_free)],
        # Nor from a free plan to a paid one: that is bought, and then what both give adds up.
        is_changed=lambda offer: current is not None and offer.is_free != pays,
        quantity=item.quantity if item else None,
    )


@router.get("/change")
async def change(
    request: Request,
    caller: Reading,
    shown: Shown,
    price: Typed,
    quantity: Typed = "",
    when: When | None = None,
) -> Response:
    """What another plan costs, to be confirmed."""
    await may_change(shown.billing, caller)
    words = words_for(request)
    shelf = CatalogListing((await shown.billing.ask(GetCatalog())).catalog)
    target = await subscription_of(shown.billing, caller)
    product = next((product for product in shelf.plans if any(p.code == price for p in product.prices)), None)
    chosen = shelf.price(price)
    if product is None or chosen is None:
        raise ProblemError("unknown_price")
    wanted = number(quantity)
    question = m.PreviewChange(
        subscription_id=target.subscription_id,
        price=price,
        quantity=wanted,
        when=when,
        proration=proration(when or "now"),  # at the end of a period there is nothing to prorate
    )
    preview = await shown.billing.ask(question)
    return shown.templates.page(
        request,
        "change.html",
        caller=caller,
        heading=words.say("change.heading", name=product.name),
        preview=view_models.preview_view(preview, words),
        cost=cost_of(chosen, words, wanted),
        has_seats=product.seats is not None,
        seats=product.seats,
        price=price,
        quantity=wanted or (target.items[0].quantity if product.seats and target.items else None),
        when=when or preview.when or WAITS,
        seen=state_of(target),
        period_end=words.date(target.current_period_end) if target.current_period_end else None,
    )


@router.get("/seats/count")
async def seat_count(
    request: Request, caller: Reading, shown: Shown, quantity: Typed = "", when: When | None = None
) -> Response:
    """What more seats or fewer cost, to be confirmed."""
    words = words_for(request)
    team = await team_of(shown.billing, caller)
    wanted = number(quantity)
    preview = None
    if wanted is not None and wanted != team.quantity:
        question = seats.PreviewSeatChange(
            team_id=team.team_id, quantity=wanted, when=when, proration=proration(when or "now")
        )
        cost = await shown.billing.ask(question)
        when = when or cost.when or WAITS
        preview = view_models.preview_view(cost, words)
    return shown.templates.page(
        request, "seat_count.html", caller=caller, team=team, quantity=wanted, when=when, preview=preview
    )


@router.get("/cancel")
async def cancel(request: Request, caller: Reading, shown: Shown) -> Response:
    """What it means to end the subscription, to be confirmed."""
    words = words_for(request)
    target = await subscription_of(shown.billing, caller)
    end = target.current_period_end
    return shown.templates.page(
        request,
        "cancel.html",
        caller=caller,
        subscription_id=target.subscription_id,
        period_end=words.date(end) if end else None,
    )


async def _current(shown: Shown, caller: Reading) -> m.SubscriptionSnapshot | None:
    try:
        current = await subscription_of(shown.billing, caller)
    except ProblemError as refused:
        if refused.code != "not_found":
            raise
        return None
    return None if current.status in view_models.ENDED else current
