"""Commands about customers."""

from services.subscriptions.customers.registration import (
    NOBODY,
    Registration,
    carry_out_in_stripe,
    new_customer,
    plan_registration,
    record_registration,
)
from services.subscriptions.repository import adding_customer
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from tallystick.messages import subscriptions as m


@service.external_command(m.RegisterCustomer)
async def register_customer(
    steps: Steps, command: m.RegisterCustomer, stripe: StripeGateway
) -> m.CustomerFound:
    """Plan what Stripe must do, have it done, and let the customer be known."""
    new = new_customer(command, steps.received_at)
    if not stripe.configured and command.stripe_customer_id is None:
        return await steps.record(
            lambda work: record_registration(work, command, new, NOBODY), adding_customer(new)
        )
    intent = await steps.intend(
        lambda work: plan_registration(work, command, payments=stripe.configured), Registration
    )
    counterpart = await carry_out_in_stripe(stripe, command, intent, steps.key("customer"))
    return await steps.record(
        lambda work: record_registration(work, command, new, counterpart), adding_customer(new)
    )
