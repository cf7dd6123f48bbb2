"""What is done when its time has come, on ticks."""

from datetime import datetime

from services.subscriptions.lifecycle.renewal import end_due_trials, move_due_periods
from services.subscriptions.overrides.set_override import end_due_overrides
from services.subscriptions.service import service
from shared.persistence.unit_of_work import Transactions


@service.job("move_periods")
async def move_periods(transactions: Transactions, at: datetime) -> None:
    """What is free or paid outside has no provider to move its periods; overrides end on the same clock."""
    await move_due_periods(transactions, at)
    await end_due_overrides(transactions, at)


@service.job("end_trials")
async def end_trials(transactions: Transactions, at: datetime) -> None:
    """Of the same subscriptions; the trials in Stripe are ended there."""
    await end_due_trials(transactions, at)
