"""How much was used: asked for, and handed to Stripe's meters."""

from datetime import datetime

from services.consumables.consumption import usage_report as rolled_up
from services.consumables.metering import usage_export
from services.consumables.service import service
from shared.messaging.service_client import Asking
from shared.persistence.unit_of_work import Transactions, Work
from tallystick.messages import consumables as m


@service.question(m.Usage)
async def usage(work: Work, question: m.Usage) -> m.UsageReport:
    """By day, week or month, each consumer's or all together."""
    return await rolled_up.usage(work, question)


@service.job("report_usage")
async def report_usage(transactions: Transactions, at: datetime, asking: Asking) -> None:
    """What the catalog names a meter for, reaches it."""
    await usage_export.report_usage(transactions, at, asking)
