"""The pages from which a plan is chosen, and the one that explains a cancellation."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ReadCaller
from services.gateway.auth.ownership import find_subscription
from services.gateway.pages import view_models
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.cancellation_view import credit_text, ending_texts
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.i18n import translations_for_request
from services.gateway.problem_details import ProblemError
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)


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
