"""The pages that preview a change of the plan or the number of seats before it is confirmed."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ReadCaller
from services.gateway.auth.ownership import find_subscription, find_team, require_billing_manager
from services.gateway.pages import view_models
from services.gateway.pages.billing_data import CatalogIndex
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_forms import proration_for, state_fingerprint
from services.gateway.pages.cancellation_view import credit_text, ending_texts
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import parse_number
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.price_text import format_price
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)

FormText = Annotated[str, Query(max_length=100)]
When = Annotated[Literal["now", "period_end"], Query()]
DEFAULT_WHEN: m.When = "period_end"
"""The time of a change whose preview names none, because it is scheduled already."""


@router.get("/plans")
async def plans(request: Request, caller: ReadCaller, page: PageContextDep) -> Response:
    """List the plans, to buy one or to change to another."""
    translations = translations_for_request(request)
    catalog = CatalogIndex((await page.services.request(GetCatalog(include_archived=True))).catalog)
    current = await _current(page, caller)
    item = current.items[0] if current and current.items else None
    price = catalog.price(item.price) if item else None
    offers = view_models.offers(catalog.plans, catalog, translations, price.code if price else None)
    pays = current is not None and (price is None or price.model != "free")
    return page.templates.render(
        request,
        "plans.html",
        caller=caller,
        # A paid plan is not changed to a free one, which would be a second subscription: it is cancelled.
        offers=[offer for offer in offers if not (pays and offer.is_free)],
        # A free plan is not changed to a paid one: that is bought, and the features of both add up.
        is_changed=lambda offer: current is not None and offer.is_free != pays,
        quantity=item.quantity if item else None,
    )


@router.get("/change")
async def change(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    price: FormText,
    quantity: FormText = "",
    when: When | None = None,
) -> Response:
    """Preview a change of the plan."""
    await require_billing_manager(page.services, caller)
    translations = translations_for_request(request)
    catalog = CatalogIndex((await page.services.request(GetCatalog())).catalog)
    target = await find_subscription(page.services, caller)
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
    return page.templates.render(
        request,
        "change.html",
        caller=caller,
        heading=translations.translate("change.heading", name=product.name),
        preview=view_models.preview_view(preview, translations),
        cost=format_price(chosen, translations, new_quantity),
        has_seats=product.seats is not None,
        seats=product.seats,
        price=price,
        quantity=new_quantity or (target.items[0].quantity if product.seats and target.items else None),
        when=when or preview.when or DEFAULT_WHEN,
        seen=state_fingerprint(target),
        period_end=translations.date(target.current_period_end) if target.current_period_end else None,
    )


@router.get("/seats/count")
async def seat_count(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    quantity: FormText = "",
    when: When | None = None,
) -> Response:
    """Preview a change of the number of seats."""
    translations = translations_for_request(request)
    team = await find_team(page.services, caller)
    new_quantity = parse_number(quantity)
    preview = None
    if new_quantity is not None and new_quantity != team.quantity:
        question = seats.PreviewSeatChange(
            team_id=team.team_id, quantity=new_quantity, when=when, proration=proration_for(when or "now")
        )
        cost = await page.services.request(question)
        when = when or cost.when or DEFAULT_WHEN
        preview = view_models.preview_view(cost, translations)
    return page.templates.render(
        request,
        "seat_count.html",
        caller=caller,
        team=team,
        quantity=new_quantity,
        when=when,
        preview=preview,
    )


@router.get("/cancel")
async def cancel(request: Request, caller: ReadCaller, page: PageContextDep) -> Response:
    """Explain a cancellation before it is confirmed."""
    translations = translations_for_request(request)
    target = await find_subscription(page.services, caller)
    question = m.PreviewCancellation(subscription_id=target.subscription_id)
    preview = await page.services.request(question)
    catalog = CatalogIndex((await page.services.request(GetCatalog(include_archived=True))).catalog)
    return page.templates.render(
        request,
        "cancel.html",
        caller=caller,
        subscription_id=target.subscription_id,
        period_end=translations.date(preview.ends_at) if preview.ends_at else None,
        endings=ending_texts(preview, catalog, translations),
        credit=credit_text(preview, translations),
    )


async def _current(page: PageContextDep, caller: ReadCaller) -> m.SubscriptionSnapshot | None:
    try:
        current = await find_subscription(page.services, caller)
    except ProblemError as error:
        if error.code != "not_found":
            raise
        return None
    return None if current.status in view_models.ENDED else current
