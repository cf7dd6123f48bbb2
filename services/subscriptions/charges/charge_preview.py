"""`preview_charge`: what a one-off charge would cost with its tax."""

from typing import Any

from services.subscriptions.charges.charge_tax import charge_tax
from services.subscriptions.charges.stripe_invoice import no_saved_payment_method
from services.subscriptions.domain.invoice_taxes import totals_of
from services.subscriptions.domain.stripe_objects import Json
from services.subscriptions.rejections import unknown_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import find_customer
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.invoices import read_taxed_invoice
from shared.errors import Unavailable
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

PREVIEWED = "tallystick_preview"
"""The description by which the previewed line is found among those of the customer's next invoice."""


@service.question(m.PreviewCharge)
async def preview_charge(
    work: UnitOfWork, question: m.PreviewCharge, stripe: StripeGateway
) -> m.ChargePreview:
    """Let Stripe compute the tax of a charge; raises Rejected `not_found` and `payment_method_required`."""
    stripe.require()
    customer = await find_customer(work.session, question.customer.token)
    if customer is None:
        raise unknown_customer(question.customer)
    if customer.stripe_customer_id is None:
        raise no_saved_payment_method(customer.customer)
    catalog = await load_catalog(work)
    item = {
        "amount": question.amount.amount,
        "currency": question.amount.currency,
        "description": PREVIEWED,
        **charge_tax(catalog, question.feature).item_params(stripe.tax),
    }
    body = await _preview(stripe, customer.stripe_customer_id, item)
    invoice = await read_taxed_invoice(stripe, body, catalog)
    lines = [line for line in invoice.lines if line.description == PREVIEWED]
    if not lines:
        raise Unavailable("Stripe's preview does not have the line that was asked for.")
    totals = totals_of(lines).model_copy(update={"tax_unknown": invoice.tax_unknown})
    return m.ChargePreview(currency=invoice.currency, totals=totals)


async def _preview(gateway: StripeGateway, stripe_customer_id: str, item: dict[str, Any]) -> Json:
    params: dict[str, Any] = {
        "customer": stripe_customer_id,
        "invoice_items": [item],
        **gateway.tax.of_owner(),
    }
    async with gateway.calls(), stripe_rejections():
        return (await gateway.api.invoices.create_preview_async(params)).to_dict()  # type: ignore[arg-type]
