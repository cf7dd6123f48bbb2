"""What time brings a subscription, apart from its periods: reminders, and the end of grace."""

from datetime import datetime

from services.subscriptions.dunning import end_due_grace
from services.subscriptions.reminding import remind
from services.subscriptions.service import service
from shared.work import Transactions


@service.job("end_grace")
async def end_grace(transactions: Transactions, at: datetime) -> None:
    """Who has not paid within grace has nothing more until they do."""
    await end_due_grace(transactions, at)


@service.job("send_reminders")
async def send_reminders(transactions: Transactions, at: datetime) -> None:
    """Trials that end and periods that renew are told before."""
    await remind(transactions, at)
