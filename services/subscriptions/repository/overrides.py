"""The SQL of overrides. The caller locks the customer's row before a change."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.domain.overrides import Override
from services.subscriptions.tables.overrides import OverrideRow
from shared.persistence.unit_of_work import UnitOfWork

IN_FORCE = """
    SELECT customer, feature, allowed, quantity, until FROM subscriptions.overrides
    WHERE customer = ANY(%s) AND ended_at IS NULL AND (until IS NULL OR until > %s)
    ORDER BY customer, feature
"""


async def load_active_overrides(work: UnitOfWork, tokens: Sequence[str]) -> dict[str, list[Override]]:
    """Load the overrides in force, by customer token; the clock ends one, not the job that emits it."""
    found: dict[str, list[Override]] = {}
    cursor = await work.driver.execute(IN_FORCE, (tokens, work.now))
    for customer, *override in await cursor.fetchall():
        found.setdefault(customer, []).append(Override(*override))
    return found


async def end_override(work: UnitOfWork, token: str, feature: str) -> bool:
    """End the override in force; return whether there was one."""
    ended = await work.session.scalars(
        sa.update(OverrideRow)
        .where(OverrideRow.customer == token, OverrideRow.feature == feature, OverrideRow.ended_at.is_(None))
        .values(ended_at=work.now, ended_by=work.caused_by)
        .returning(OverrideRow.override_id)
    )
    return ended.first() is not None


async def customers_with_due_overrides(session: AsyncSession, at: datetime, limit: int) -> Sequence[str]:
    """Load the customers with overrides that are over, earliest first."""
    query = (
        sa.select(OverrideRow.customer)
        .where(OverrideRow.ended_at.is_(None), OverrideRow.until <= at)
        .group_by(OverrideRow.customer)
        .order_by(sa.func.min(OverrideRow.until), OverrideRow.customer)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def end_due_overrides_of(work: UnitOfWork, tokens: Iterable[str]) -> Sequence[str]:
    """End the overrides of these customers that are over by now; return the customers affected."""
    ended = await work.session.scalars(
        sa.update(OverrideRow)
        .where(
            OverrideRow.customer.in_(tokens), OverrideRow.ended_at.is_(None), OverrideRow.until <= work.now
        )
        .values(ended_at=OverrideRow.until, ended_by=work.caused_by)
        .returning(OverrideRow.customer)
    )
    return sorted(set(ended))


def override_from_row(row: OverrideRow) -> Override:
    """Build the override that a row stores."""
    return Override(row.feature, row.allowed, row.quantity, row.until)
