"""`charge_customer`: plan the charge, make it in Stripe, and record the invoice."""

from services.subscriptions.charges.charge_tax import charge_tax
from services.subscriptions.charges.stripe_invoice import (
    ChargeIntent,
    charge_in_stripe,
    no_saved_payment_method,
)
from services.subscriptions.domain.invoice_taxes import TaxRates, tax_rate_ids
from services.subscriptions.domain.invoices import invoice_changes, read_invoice
from services.subscriptions.domain.stripe_objects import Json
from services.subscriptions.rejections import require_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import invoice_by_stripe_id
from services.subscriptions.service import service
from services.subscriptions.snapshots import invoice_from_row, invoice_snapshot
from services.subscriptions.state_changes import change_invoice
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import InvoiceRow
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.external_command(m.ChargeCustomer)
async def charge_customer(
    steps: ExternalCommandSteps, command: m.ChargeCustomer, stripe: StripeGateway
) -> m.InvoiceFound:
    """Plan the charge, make it in Stripe, and write the invoice."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_charge(work, command), ChargeIntent)
    paid = await charge_in_stripe(stripe, intent, steps.key)
    rates = await stripe.tax_rates.find(tax_rate_ids(paid))
    return await steps.record(lambda work: record_charge(work, command, paid, rates))


async def plan_charge(work: UnitOfWork, command: m.ChargeCustomer) -> ChargeIntent:
    """Find the customer to charge; raises Rejected `not_found` and `payment_method_required`."""
    customer = await require_customer(work, command.customer)
    if customer.stripe_customer_id is None:
        raise no_saved_payment_method(customer.customer)
    tax = charge_tax(await load_catalog(work), command.feature)
    return ChargeIntent(
        charge_id=new_id("charge"),
        customer=customer.customer,
        stripe_customer_id=customer.stripe_customer_id,
        amount=command.amount.amount,
        currency=command.amount.currency,
        description=command.description,
        reference=command.reference,
        tax_rates=tax.rates,
        tax_behavior=tax.behavior,
    )


async def record_charge(
    work: UnitOfWork, command: m.ChargeCustomer, paid: Json, rates: TaxRates
) -> m.InvoiceFound:
    """Write the paid invoice, unless Stripe's events have already."""
    await require_customer(work, command.customer)
    invoice = read_invoice(paid, await load_catalog(work), rates)
    row = await invoice_by_stripe_id(work.session, invoice.stripe_invoice_id)
    before = invoice_from_row(row) if row is not None else None
    if row is None:
        row = InvoiceRow(
            invoice_id=new_id("inv"), customer=command.customer.token, version=0, told_failures=0
        )
        # None of its events has arrived; they cannot be older than the invoice.
        row.stripe_event_at = invoice.created_at
        work.session.add(row)
    if before is None or invoice.progress > before.progress:
        changes = invoice_changes(before, invoice, emitted_failures=row.told_failures, failed=0)
        change_invoice(work, row, changes)
    return m.InvoiceFound(invoice=invoice_snapshot(row))
