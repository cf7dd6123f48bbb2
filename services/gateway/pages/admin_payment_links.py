"""`/admin/payment-links`: the operators' page with payment links and their uses."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import AdminCaller
from services.gateway.catalog_listing import listed_products
from services.gateway.commands import command_for
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER, FormCommandId, parse_number
from services.gateway.pages.page_route import PageRoute
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import GetCatalog

router = APIRouter(prefix="/admin/payment-links", include_in_schema=False, route_class=PageRoute)

PAGE_SIZE = 50
USES_SHOWN = 100


@router.get("")
async def payment_links(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    done: str = "",
) -> Response:
    """List payment links with a form for a new one, and the latest uses of all."""
    links, uses, catalog = await asyncio.gather(
        page.services.request(m.ListPaymentLinks(limit=PAGE_SIZE, cursor=cursor)),
        page.services.request(m.ListPaymentLinkUses(limit=USES_SHOWN)),
        page.services.request(GetCatalog()),
    )
    plans = listed_products(catalog.catalog, "plan")
    prices = [price.code for plan in plans for price in plan.prices if price.model != "free"]
    return page.templates.render(
        request,
        "admin/payment_links.html",
        caller=caller,
        links=links,
        uses=uses.items,
        prices=prices,
        done=done,
    )


@router.post("")
async def create(
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    price: Annotated[str, Form(max_length=64)],
    quantity: Annotated[str, Form(max_length=20)] = "",
    uses: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Create a payment link for one price, for anybody."""
    item = m.ItemToBuy.model_validate({"price": price, "quantity": parse_number(quantity)})
    command = command_for(
        m.CreatePaymentLink, caller, command_id, items=[item], uses=parse_number(uses), customer=None
    )
    await page.services.request(command)
    return RedirectResponse("/admin/payment-links?done=created", SEE_OTHER)


@router.post("/deactivate")
async def deactivate(
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    payment_link_id: Annotated[str, Form(max_length=200)],
) -> Response:
    """Deactivate a payment link."""
    command = command_for(m.DeactivatePaymentLink, caller, command_id, payment_link_id=payment_link_id)
    await page.services.request(command)
    return RedirectResponse("/admin/payment-links?done=deactivated", SEE_OTHER)
