"""Queries of this service: locks on licenses, their activations, pages of licenses."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.rejections import license_not_found
from services.licenses.tables import ActivationRow, LicenseRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Customer

Activations = list[ActivationRow]


async def lock_license(work: UnitOfWork, license_id: str) -> tuple[LicenseRow, Activations]:
    """Lock a license until the transaction ends; raise Rejected `not_found` if it does not exist."""
    found = await lock_license_where(work, LicenseRow.license_id == license_id)
    if found is None:
        raise license_not_found(license_id)
    return found


async def lock_license_where(
    work: UnitOfWork, *conditions: sa.ColumnElement[bool]
) -> tuple[LicenseRow, Activations] | None:
    """Lock the license that meets the conditions, of which there is at most one, with its activations."""
    query = sa.select(LicenseRow).where(*conditions).with_for_update()
    row = (await work.session.scalars(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        return None
    # After the lock: another transaction may have changed them while this one waited.
    return row, (await load_activations(work.session, [row.license_id])).get(row.license_id, [])


async def load_activations(session: AsyncSession, license_ids: Sequence[str]) -> dict[str, Activations]:
    """Load the activations of licenses, the oldest first."""
    query = (
        sa.select(ActivationRow)
        .where(ActivationRow.license_id.in_(license_ids))
        .order_by(ActivationRow.activated_at, ActivationRow.instance_id)
        .execution_options(populate_existing=True)
    )
    found: dict[str, Activations] = {}
    for row in await session.scalars(query):
        found.setdefault(row.license_id, []).append(row)
    return found


def reported_members(activations: Activations) -> int:
    """Return the members that all machines of a license report."""
    return sum(activation.members or 0 for activation in activations)


async def find_license(
    session: AsyncSession, *, license_id: str | None, key_hash: bytes | None, subscription_id: str | None
) -> LicenseRow | None:
    """Find a license; for a subscription the one that has not ended, else the newest."""
    query = sa.select(LicenseRow)
    if license_id is not None:
        query = query.where(LicenseRow.license_id == license_id)
    if key_hash is not None:
        query = query.where(LicenseRow.key_hash == key_hash)
    if subscription_id is not None:
        query = query.where(LicenseRow.subscription_id == subscription_id)
    newest = query.order_by(LicenseRow.ended_at.is_not(None), LicenseRow.license_id.desc())
    return (await session.scalars(newest.limit(1))).first()


async def load_licenses(
    session: AsyncSession,
    *,
    customer: Customer | None,
    status: str | None,
    search: str | None,
    before: str | None,
    limit: int,
) -> Sequence[LicenseRow]:
    """Load licenses, newest first, with ids below `before`."""
    query = sa.select(LicenseRow)
    if customer is not None:
        query = query.where(LicenseRow.customer == customer.token)
    if status is not None:
        query = query.where(LicenseRow.status == status)
    if search is not None:
        query = query.where(LicenseRow.license_id.in_(_search(search.strip())))
    if before is not None:
        query = query.where(LicenseRow.license_id < before)
    return (await session.scalars(query.order_by(LicenseRow.license_id.desc()).limit(limit))).all()


def _search(term: str) -> sa.CompoundSelect[Any]:
    """Select the ids of the licenses that a term names; each part reads one index."""
    row = LicenseRow
    conditions = [
        row.license_id == term,
        row.subscription_id == term,
        row.customer.in_([term, f"user_{term}", f"organization_{term}"]),
        row.product == term,
        row.key_hint == term.upper(),
    ]
    on_instance = sa.select(ActivationRow.license_id).where(ActivationRow.instance_id == term)
    return sa.union(*(sa.select(row.license_id).where(condition) for condition in conditions), on_instance)
