"""What is charged or looked at in Stripe without a change of any subscription."""

from services.subscriptions.charges.charge import plan_charge, record_charge
from services.subscriptions.charges.stripe_invoice import ChargeIntent, charge_in_stripe
from services.subscriptions.customers.billing_portal import PortalIntent, open_page, plan_portal
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from tallystick.messages import subscriptions as m


@service.external_command(m.ChargeCustomer)
async def charge_customer(steps: Steps, command: m.ChargeCustomer, stripe: StripeGateway) -> m.InvoiceFound:
    """Intend the charge, have Stripe make it, write the invoice."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_charge(work, command), ChargeIntent)
    paid = await charge_in_stripe(stripe, intent, steps.key)
    return await steps.record(lambda work: record_charge(work, command, paid))


@service.external_command(m.OpenPortal)
async def open_portal(steps: Steps, command: m.OpenPortal, stripe: StripeGateway) -> m.PortalOpened:
    """Open Stripe's page for a customer."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_portal(work, command), PortalIntent)
    return await open_page(stripe, command, intent, steps.key("portal"))
