"""Snapshots and events of payment links; the caller has locked the link's row."""

from typing import cast

from services.subscriptions.tables.payment_links import PaymentLinkRow, PaymentLinkUseRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer


def emit_link(
    work: UnitOfWork, row: PaymentLinkRow, event: str, use: PaymentLinkUseRow | None = None
) -> None:
    """Emit a link's event with the next version."""
    row.version += 1
    work.emit(
        m.PaymentLinkEvent,
        event,
        customer=Customer.from_token(row.customer) if row.customer else None,
        version=row.version,
        payment_link=link_snapshot(row),
        use=use_snapshot(use) if use is not None else None,
    )


def link_snapshot(row: PaymentLinkRow) -> m.PaymentLinkSnapshot:
    """Build a link's snapshot."""
    return m.PaymentLinkSnapshot(
        payment_link_id=row.payment_link_id,
        version=row.version,
        url=row.url,
        status=cast(m.PaymentLinkStatus, row.status),
        items=[m.ItemToBuy.model_validate(item) for item in row.items],
        after_url=row.after_url,
        metadata=row.notes,
        customer=Customer.from_token(row.customer) if row.customer else None,
        uses_max=row.uses_max,
        uses=row.uses,
        stripe_payment_link_id=row.stripe_payment_link_id,
        created_at=row.created_at,
    )


def use_snapshot(row: PaymentLinkUseRow) -> m.PaymentLinkUse:
    """Build the snapshot of a use."""
    return m.PaymentLinkUse(
        use_id=row.use_id,
        payment_link_id=row.payment_link_id,
        customer=Customer.from_token(row.customer),
        subscription_id=row.subscription_id,
        invoice_id=row.invoice_id,
        outcome=row.outcome,  # type: ignore[arg-type] # a column is any text
        reason=row.reason,  # type: ignore[arg-type]
        used_at=row.used_at,
    )
