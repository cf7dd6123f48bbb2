"""What other services have metered in Stripe."""

from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.meters import MeteringIntent, add_readings, plan_readings
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Work
from tallystick.messages import subscriptions as m


@service.external_command(m.RecordUsage)
async def record_usage(steps: Steps, command: m.RecordUsage, stripe: StripeGateway) -> m.UsageRecorded:
    """Find the customers, have Stripe count, say what was counted."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_readings(work, command), MeteringIntent)
    added = await add_readings(stripe, command, intent, steps.key)

    async def said(_: Work) -> m.UsageRecorded:
        return added

    return await steps.record(said)
