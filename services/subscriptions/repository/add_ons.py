"""The SQL of add-ons. The caller locks the customer's row before a change."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import FINAL_STATUSES

HAS_LIVE_ADD_ONS = (
    "SELECT 1 FROM subscriptions.add_ons WHERE customer = %s AND version > 0 AND status <> ALL(%s) LIMIT 1"
)
FIND_ADD_ON = "SELECT add_on_id FROM subscriptions.add_ons WHERE subscription_id = %s"


async def find_add_on(session: AsyncSession, add_on_id: str) -> AddOnRow | None:
    """Load an add-on's row, refreshed from the database."""
    query = sa.select(AddOnRow).where(AddOnRow.add_on_id == add_on_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def find_add_on_of_subscription(work: UnitOfWork, subscription_id: str) -> AddOnRow | None:
    """Load the add-on of a subscription; a cheap query first checks that there is one."""
    await work.flush()
    found = await (await work.driver.execute(FIND_ADD_ON, (subscription_id,))).fetchone()
    return await find_add_on(work.session, found[0]) if found else None


async def live_add_ons(session: AsyncSession, token: str, product: str) -> Sequence[AddOnRow]:
    """Load a customer's purchased add-ons of a product that have not ended, oldest first."""
    query = sa.select(AddOnRow).where(
        AddOnRow.customer == token,
        AddOnRow.version > 0,
        AddOnRow.product == product,
        AddOnRow.status.not_in(FINAL_STATUSES),
    )
    return (await session.scalars(query.order_by(AddOnRow.add_on_id))).all()


async def has_live_add_ons(work: UnitOfWork, token: str) -> bool:
    """Return whether a customer has an add-on that has not ended."""
    await work.flush()
    cursor = await work.driver.execute(HAS_LIVE_ADD_ONS, (token, list(FINAL_STATUSES)))
    return await cursor.fetchone() is not None


async def add_ons_by_subscription(session: AsyncSession, token: str) -> dict[str, AddOnRow]:
    """Load a customer's add-ons that have a subscription, ended ones included, by its id."""
    query = sa.select(AddOnRow).where(AddOnRow.customer == token, AddOnRow.subscription_id.is_not(None))
    rows = await session.scalars(query.order_by(AddOnRow.add_on_id))
    return {str(row.subscription_id): row for row in rows}


async def last_plan_end(session: AsyncSession, token: str) -> datetime | None:
    """Load when the last of a customer's plans ended; every subscription that is no add-on's counts."""
    query = (
        sa.select(sa.func.max(SubscriptionRow.ended_at))
        .outerjoin(AddOnRow, AddOnRow.subscription_id == SubscriptionRow.subscription_id)
        .where(SubscriptionRow.customer == token, AddOnRow.add_on_id.is_(None))
    )
    ended_at: datetime | None = await session.scalar(query)
    return ended_at


async def load_add_ons(
    session: AsyncSession, token: str, *, before: str | None, limit: int
) -> Sequence[AddOnRow]:
    """Load a customer's purchased add-ons, newest first, with ids below `before`."""
    query = sa.select(AddOnRow).where(AddOnRow.customer == token, AddOnRow.version > 0)
    if before is not None:
        query = query.where(AddOnRow.add_on_id < before)
    return (await session.scalars(query.order_by(AddOnRow.add_on_id.desc()).limit(limit))).all()
