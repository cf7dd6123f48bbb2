"""The SQL of refunds and disputes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.tables.refunds import DisputeRow, RefundRow
from services.subscriptions.tables.subscriptions import InvoiceRow


async def find_invoice(session: AsyncSession, invoice_id: str) -> InvoiceRow | None:
    """Load an invoice's row, refreshed; the lock is on its customer's row."""
    query = sa.select(InvoiceRow).where(InvoiceRow.invoice_id == invoice_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def refunds_of(session: AsyncSession, invoice_id: str) -> Sequence[RefundRow]:
    """Load the refunds of an invoice, oldest first."""
    query = sa.select(RefundRow).where(RefundRow.invoice_id == invoice_id).order_by(RefundRow.refund_id)
    return (await session.scalars(query)).all()


async def disputes_of(session: AsyncSession, invoice_id: str) -> Sequence[DisputeRow]:
    """Load the disputes of an invoice, oldest first."""
    query = sa.select(DisputeRow).where(DisputeRow.invoice_id == invoice_id).order_by(DisputeRow.dispute_id)
    return (await session.scalars(query)).all()


async def list_refunds(
    session: AsyncSession, *, token: str | None, invoice_id: str | None, before: str | None, limit: int
) -> Sequence[RefundRow]:
    """Load refunds, newest first, with ids below `before`."""
    query = sa.select(RefundRow).order_by(RefundRow.refund_id.desc()).limit(limit)
    if token is not None:
        query = query.where(RefundRow.customer == token)
    if invoice_id is not None:
        query = query.where(RefundRow.invoice_id == invoice_id)
    if before is not None:
        query = query.where(RefundRow.refund_id < before)
    return (await session.scalars(query)).all()


async def list_disputes(
    session: AsyncSession, *, token: str | None, status: str | None, before: str | None, limit: int
) -> Sequence[DisputeRow]:
    """Load disputes, newest first, with ids below `before`."""
    query = sa.select(DisputeRow).order_by(DisputeRow.dispute_id.desc()).limit(limit)
    if token is not None:
        query = query.where(DisputeRow.customer == token)
    if status is not None:
        query = query.where(DisputeRow.status == status)
    if before is not None:
        query = query.where(DisputeRow.dispute_id < before)
    return (await session.scalars(query)).all()
