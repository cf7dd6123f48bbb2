"""Opening Stripe's billing portal for a customer."""

from pydantic import BaseModel, ConfigDict

from services.subscriptions.rejections import require_customer
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class PortalIntent(BaseModel):
    """The Stripe customer whose portal is opened."""

    model_config = ConfigDict(frozen=True)

    stripe_customer_id: str


@service.external_command(m.OpenPortal)
async def open_portal(
    steps: ExternalCommandSteps, command: m.OpenPortal, stripe: StripeGateway
) -> m.PortalOpened:
    """Open Stripe's billing portal for a customer."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_portal(work, command), PortalIntent)
    return await open_page(stripe, command, intent, steps.key("portal"))


async def plan_portal(work: UnitOfWork, command: m.OpenPortal) -> PortalIntent:
    """Find the Stripe customer; raises Rejected `not_found` and `no_stripe_customer`."""
    customer = await require_customer(work, command.customer)
    if customer.stripe_customer_id is None:
        raise Rejected(
            "no_stripe_customer",
            "The customer has no Stripe customer: nothing was paid through Stripe so far.",
            {"customer": customer.customer},
        )
    return PortalIntent(stripe_customer_id=customer.stripe_customer_id)


async def open_page(
    gateway: StripeGateway, command: m.OpenPortal, intent: PortalIntent, key: str
) -> m.PortalOpened:
    """Create a portal session."""
    async with gateway.calls(), stripe_rejections():
        session = await gateway.api.billing_portal.sessions.create_async(
            {"customer": intent.stripe_customer_id, "return_url": command.return_url},
            {"idempotency_key": key},
        )
    return m.PortalOpened(portal_url=session.url)
