"""The SQL of add-ons. Whoever changes one has locked its customer's row."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.add_ons.tables import AddOnRow


async def find_add_on(session: AsyncSession, add_on_id: str) -> AddOnRow | None:
    """An add-on's row as it is now."""
    query = sa.select(AddOnRow).where(AddOnRow.add_on_id == add_on_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def add_on_of_subscription(session: AsyncSession, subscription_id: str) -> AddOnRow | None:
    """The add-on that a subscription is for."""
    return await session.scalar(sa.select(AddOnRow).where(AddOnRow.subscription_id == subscription_id))


async def list_add_ons(
    session: AsyncSession, token: str, *, before: str | None, limit: int
) -> Sequence[AddOnRow]:
    """A customer's add-ons that were paid for, newest first, from below an id."""
    query = sa.select(AddOnRow).where(AddOnRow.customer == token, AddOnRow.version > 0)
    if before is not None:
        query = query.where(AddOnRow.add_on_id < before)
    return (await session.scalars(query.order_by(AddOnRow.add_on_id.desc()).limit(limit))).all()
