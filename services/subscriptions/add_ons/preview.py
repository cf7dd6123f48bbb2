"""The preview of an add-on's purchase: its first invoice."""

from datetime import timedelta

from services.subscriptions.add_ons.exclusivity import require_not_owned
from services.subscriptions.domain.add_ons import validate_details
from services.subscriptions.domain.billing_periods import billing_interval, period_containing
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.invoice_taxes import totals_of
from services.subscriptions.domain.preview_totals import invoice_preview, lines_preview
from services.subscriptions.domain.pricing import free_of_charge
from services.subscriptions.rejections import as_rejection
from services.subscriptions.repository.subscriptions import find_customer
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.invoice_previews import preview_purchase
from services.subscriptions.stripe.invoices import read_taxed_invoice
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import Price


async def preview_add_on(
    work: UnitOfWork,
    row: SubscriptionRow,
    catalog: CatalogView,
    question: m.PreviewChange,
    stripe: StripeGateway,
) -> m.ChangePreview:
    """Preview an add-on, whose periods begin when it is bought or when its trial ends.

    Raises Rejected as the purchase would, except for its payment.
    """
    price = await _require_for_sale(work, row, catalog, question)
    if price.model == "free":
        nothing = free_of_charge(price)
        return m.ChangePreview(due_now=nothing, next_invoice=nothing, lines=[], totals=totals_of([]))
    customer = await find_customer(work.session, row.customer)
    if customer is None or customer.stripe_customer_id is None:
        raise Rejected(
            "payments_not_configured", "The customer is not known to Stripe.", {"customer": row.customer}
        )
    if price.stripe_price_id is None:
        raise Rejected("unknown_price", f"Stripe does not know {price.code!r} yet.", {"price": price.code})
    rates = stripe.tax.of_item(catalog.stripe_tax_rates(price.tax_rates))
    item = {"price": price.stripe_price_id, "quantity": 1, **rates}
    body = await preview_purchase(stripe, customer.stripe_customer_id, item)
    invoice = await read_taxed_invoice(stripe, body, catalog)
    regular = [line for line in invoice.lines if line.price == price.code]
    if price.trial_days:
        return lines_preview([_after_trial(line, price) for line in regular], invoice.currency)
    return invoice_preview(invoice, totals_of(regular))


async def _require_for_sale(
    work: UnitOfWork, row: SubscriptionRow, catalog: CatalogView, question: m.PreviewChange
) -> Price:
    code = str(question.add_price)
    price = catalog.price(code)
    product = catalog.product_of(price) if price is not None else None
    if price is None or product is None or product.kind != "add_on" or price.archived or not price.listed:
        raise Rejected("unknown_price", f"The catalog sells no add-on at {code!r}.", {"price": code})
    if row.status not in m.GRANTING_STATUSES:
        raise Rejected(
            "subscription_not_active", f"The subscription is {row.status}.", {"status": row.status}
        )
    asked = question.details
    details = as_rejection(lambda: validate_details(product, asked)) if asked is not None else {}
    if asked is not None or not product.required_details:
        await require_not_owned(work, row.customer, catalog, price, details)
    return price


def _after_trial(line: m.InvoiceLine, price: Price) -> m.InvoiceLine:
    begin = line.period.start + timedelta(days=price.trial_days or 0)
    start, end = period_containing(begin, billing_interval(price), begin)
    return line.model_copy(update={"period": m.Span(start=start, end=end)})
