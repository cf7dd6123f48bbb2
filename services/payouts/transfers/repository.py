"""SQL of payouts."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.payouts.tables.ledger import BalanceRow
from services.payouts.tables.payouts import PayoutRow


async def lock_payout(session: AsyncSession, payout_id: str) -> PayoutRow | None:
    """Lock a payout; None if there is none."""
    return await session.get(PayoutRow, payout_id, with_for_update=True, populate_existing=True)


async def currencies_of(session: AsyncSession, customer: str) -> Sequence[str]:
    """List the currencies in which a seller has a balance."""
    return (
        await session.scalars(sa.select(BalanceRow.currency).where(BalanceRow.customer == customer))
    ).all()


async def available_of(session: AsyncSession, customer: str) -> dict[str, int]:
    """Return what is available to a seller, by currency; without a lock."""
    query = sa.select(BalanceRow.currency, BalanceRow.available).where(BalanceRow.customer == customer)
    return {row[0]: row[1] for row in await session.execute(query)}
