"""Questions about connected accounts."""

from services.payouts.accounts.repository import find_any_account
from services.payouts.accounts.state_changes import account_snapshot
from services.payouts.service import service
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m


@service.question(m.GetAccount)
async def get_account(work: UnitOfWork, question: m.GetAccount) -> m.AccountFound:
    """Find a seller's account; raise Rejected `not_found`."""
    row = await find_any_account(work.session, question.customer.token)
    if row is None:
        raise Rejected(
            "not_found", "This seller has no connected account.", {"customer": question.customer.token}
        )
    return m.AccountFound(account=account_snapshot(row))
