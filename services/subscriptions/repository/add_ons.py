"""The SQL of add-ons. Whoever changes one has locked its customer's row."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.tables.add_ons import AddOnRow
from shared.persistence.unit_of_work import UnitOfWork

FIND_ADD_ON = "SELECT add_on_id FROM subscriptions.add_ons WHERE subscription_id = %s"


async def find_add_on(session: AsyncSession, add_on_id: str) -> AddOnRow | None:
    """An add-on's row as it is now."""
    query = sa.select(AddOnRow).where(AddOnRow.add_on_id == add_on_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def find_add_on_of_subscription(work: UnitOfWork, subscription_id: str) -> AddOnRow | None:
    """The add-on that a subscription is for; few are for one, which is found out first."""
    await work.flush()
    found = await (await work.driver.execute(FIND_ADD_ON, (subscription_id,))).fetchone()
    return await find_add_on(work.session, found[0]) if found else None


async def load_add_ons(
    session: AsyncSession, token: str, *, before: str | None, limit: int
) -> Sequence[AddOnRow]:
    """A customer's add-ons that were paid for, newest first, from below an id."""
    query = sa.select(AddOnRow).where(AddOnRow.customer == token, AddOnRow.version > 0)
    if before is not None:
        query = query.where(AddOnRow.add_on_id < before)
    return (await session.scalars(query.order_by(AddOnRow.add_on_id.desc()).limit(limit))).all()
