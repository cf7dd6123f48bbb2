"""Questions about balances and the ledger."""

from services.consumables.ledger import queries
from services.consumables.service import service
from shared.persistence.unit_of_work import Work
from tallystick.messages import consumables as m


@service.question(m.GetBalance)
async def get_balance(work: Work, question: m.GetBalance) -> m.Balance:
    """What there is of one feature."""
    return await queries.get_balance(work, question)


@service.question(m.ListBalances)
async def list_balances(work: Work, question: m.ListBalances) -> m.BalancePage:
    """By account and feature."""
    return await queries.list_balances(work, question)


@service.question(m.ListEntries)
async def list_entries(work: Work, question: m.ListEntries) -> m.EntryPage:
    """Newest first."""
    return await queries.list_entries(work, question)
