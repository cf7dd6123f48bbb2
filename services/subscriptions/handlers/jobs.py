"""What is done when its time has come, on ticks."""

from datetime import datetime

from services.subscriptions.free_plans import move_due_periods
from services.subscriptions.overrides.overriding import end_due_overrides
from services.subscriptions.service import service
from shared.work import Transactions


@service.job("move_periods")
async def move_periods(transactions: Transactions, at: datetime) -> None:
    """Free subscriptions have no provider that moves their periods; overrides end on the same clock."""
    await move_due_periods(transactions, at)
    await end_due_overrides(transactions, at)
