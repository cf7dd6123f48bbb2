"""The operators' form that refunds an invoice from the customer's page."""

from typing import Annotated

from fastapi import APIRouter, Form, Path
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import AdminCaller
from services.gateway.commands import command_for
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER, FormCommandId, parse_amount
from services.gateway.pages.page_route import PageRoute
from tallystick.messages import subscriptions as m

router = APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)


@router.post("/customers/{customer}/refund")
async def refund(
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    customer: Annotated[str, Path(pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$")],
    invoice_id: Annotated[str, Form(max_length=200)],
    currency: Annotated[str, Form(pattern=r"^[a-z]{3}$")],
    reason: Annotated[str, Form(min_length=1, max_length=500)],
    amount: Annotated[str, Form(max_length=20)] = "",
    end_subscription: Annotated[bool, Form()] = False,
) -> Response:
    """Refund an invoice; without an amount all that is left."""
    minor_units = parse_amount(amount, currency) if amount.strip() else None
    command = command_for(
        m.RefundInvoice,
        caller,
        command_id,
        invoice_id=invoice_id,
        amount=minor_units,
        reason=reason,
        end_subscription=end_subscription,
    )
    await page.services.request(command)
    return RedirectResponse(f"/admin/customers/{customer}?done=refunded#invoices", SEE_OTHER)
