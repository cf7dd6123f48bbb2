"""SQL of connected accounts."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.payouts.tables.accounts import AccountRow
from shared.errors import Rejected
from tallystick.messages.base import Customer

IS_OPEN = AccountRow.disconnected_at.is_(None) & AccountRow.stripe_account_id.is_not(None)


async def reserve_account(session: AsyncSession, row: AccountRow) -> bool:
    """Insert a row unless the customer has one that is not disconnected; return whether it was inserted."""
    values = {
        column.key: getattr(row, column.key)
        for column in AccountRow.__table__.columns
        if getattr(row, column.key) is not None
    }
    statement = insert(AccountRow).values(values).on_conflict_do_nothing().returning(AccountRow.customer)
    return await session.scalar(statement) is not None


async def find_account(session: AsyncSession, customer: str, *, lock: bool = False) -> AccountRow | None:
    """Find the row of a seller that is not disconnected, opened or being opened."""
    query = sa.select(AccountRow).where(AccountRow.customer == customer, AccountRow.disconnected_at.is_(None))
    return (await session.scalars(query.with_for_update() if lock else query)).first()


async def find_any_account(session: AsyncSession, customer: str) -> AccountRow | None:
    """Find a seller's open account, else the one that was disconnected last."""
    query = (
        sa.select(AccountRow)
        .where(AccountRow.customer == customer, AccountRow.stripe_account_id.is_not(None))
        .order_by(AccountRow.disconnected_at.is_(None).desc(), AccountRow.payout_account_id.desc())
        .limit(1)
    )
    return (await session.scalars(query)).first()


async def lock_open_account(session: AsyncSession, customer: Customer) -> AccountRow:
    """Lock a seller's open account; raise Rejected `not_connected`."""
    row = await find_account(session, customer.token, lock=True)
    return _opened(row, customer)


async def require_open_account(session: AsyncSession, customer: Customer) -> AccountRow:
    """Load a seller's open account; raise Rejected `not_connected`."""
    return _opened(await find_account(session, customer.token), customer)


async def lock_by_stripe_id(session: AsyncSession, stripe_account_id: str) -> AccountRow | None:
    """Lock the account with an id of Stripe's."""
    query = sa.select(AccountRow).where(AccountRow.stripe_account_id == stripe_account_id)
    return (await session.scalars(query.with_for_update())).first()


async def open_stripe_ids(session: AsyncSession, *, after: str, limit: int) -> list[str]:
    """List Stripe's ids of open accounts in their order, above `after`."""
    query = sa.select(AccountRow.stripe_account_id).where(IS_OPEN, AccountRow.stripe_account_id > after)
    ids = await session.scalars(query.order_by(AccountRow.stripe_account_id).limit(limit))
    return [each for each in ids if each is not None]


def _opened(row: AccountRow | None, customer: Customer) -> AccountRow:
    if row is None or row.stripe_account_id is None:
        raise Rejected("not_connected", "This seller has no connected account.", {"customer": customer.token})
    return row
