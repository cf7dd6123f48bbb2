"""What this service does when a tick comes."""

from datetime import datetime

from services.consumables.grants.expiry import expire_due_grants
from services.consumables.grants.renewal import renew_due_grants
from services.consumables.service import service
from shared.persistence.unit_of_work import Transactions


@service.job("renew_grants")
async def renew_grants(transactions: Transactions, at: datetime) -> None:
    """Grant the units of every cycle that has begun by then, and what a crash left ungranted."""
    await renew_due_grants(transactions, at)


@service.job("expire_grants")
async def expire_grants(transactions: Transactions, at: datetime) -> None:
    """End every grant whose time is over by then."""
    await expire_due_grants(transactions, at)
