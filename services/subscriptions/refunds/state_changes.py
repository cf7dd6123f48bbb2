"""Writing refunds and disputes as Stripe has them, and the invoice's sums with its events.

The caller has locked the customer's row.
"""

from collections.abc import Iterable
from typing import cast

from services.subscriptions.domain.refunds import (
    HOLDING,
    RETURNED,
    StripeDispute,
    StripeRefund,
    dispute_event,
    later_dispute_status,
    later_refund_status,
)
from services.subscriptions.repository.refunds import disputes_of, refunds_of
from services.subscriptions.state_changes import emit_invoice
from services.subscriptions.tables.refunds import DisputeRow, RefundRow
from services.subscriptions.tables.subscriptions import InvoiceRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Money


async def note_refunds(work: UnitOfWork, invoice: InvoiceRow, refunds: Iterable[StripeRefund]) -> None:
    """Write refunds that Stripe tells of; `refunded` is emitted when their sum has grown."""
    known = list(await refunds_of(work.session, invoice.invoice_id))
    for refund in refunds:
        row = _matching(known, refund)
        if row is None:
            row = _new_refund(invoice, refund)
            known.append(row)
            work.session.add(row)
        row.stripe_refund_id, row.amount = refund.stripe_refund_id, refund.amount
        row.status = later_refund_status(cast(m.RefundStatus, row.status), refund.status)
    await work.session.flush()
    total = sum(row.amount for row in known if row.stripe_refund_id and row.status not in RETURNED)
    before, invoice.amount_refunded = invoice.amount_refunded or 0, total
    if total != before:
        emit_invoice(work, invoice, "refunded" if total > before else "updated")


async def note_dispute(work: UnitOfWork, invoice: InvoiceRow, dispute: StripeDispute) -> None:
    """Write a dispute that Stripe tells of; with `disputed` or `disputeClosed` if it counts."""
    known = list(await disputes_of(work.session, invoice.invoice_id))
    before = [row.status for row in known]
    row = next((each for each in known if each.stripe_dispute_id == dispute.stripe_dispute_id), None)
    if row is None:
        row = _new_dispute(invoice, dispute)
        known.append(row)
        work.session.add(row)
    row.amount, row.respond_by = dispute.amount, dispute.respond_by
    row.status = later_dispute_status(cast(m.DisputeStatus, row.status), dispute.status)
    if row.status in ("won", "lost", "closed") and row.closed_at is None:
        row.closed_at = work.now
    await work.session.flush()
    invoice.amount_disputed = sum(each.amount for each in known if each.status in HOLDING)
    invoice.amount_charged_back = sum(each.amount for each in known if each.status == "lost")
    event = dispute_event(before, [each.status for each in known])
    if event is not None:
        emit_invoice(work, invoice, event)


def refund_snapshot(row: RefundRow) -> m.RefundSnapshot:
    """Build a refund's snapshot."""
    return m.RefundSnapshot(
        refund_id=row.refund_id,
        invoice_id=row.invoice_id,
        customer=Customer.from_token(row.customer),
        amount=Money(amount=row.amount, currency=row.currency),
        status=cast(m.RefundStatus, row.status),
        reason=row.reason,
        requested_by=row.requested_by,
        stripe_refund_id=row.stripe_refund_id,
        created_at=row.created_at,
    )


def dispute_snapshot(row: DisputeRow) -> m.DisputeSnapshot:
    """Build a dispute's snapshot."""
    return m.DisputeSnapshot(
        dispute_id=row.dispute_id,
        invoice_id=row.invoice_id,
        customer=Customer.from_token(row.customer),
        amount=Money(amount=row.amount, currency=row.currency),
        status=cast(m.DisputeStatus, row.status),
        reason=row.reason,
        respond_by=row.respond_by,
        stripe_dispute_id=row.stripe_dispute_id,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def _matching(known: Iterable[RefundRow], refund: StripeRefund) -> RefundRow | None:
    """Return the row of a Stripe refund, or the one of the command that made it."""
    for row in known:
        is_ours = row.stripe_refund_id is None and row.refund_id == refund.refund_id
        if row.stripe_refund_id == refund.stripe_refund_id or is_ours:
            return row
    return None


def _new_refund(invoice: InvoiceRow, refund: StripeRefund) -> RefundRow:
    return RefundRow(
        refund_id=new_id("refund"),
        invoice_id=invoice.invoice_id,
        customer=invoice.customer,
        amount=refund.amount,
        currency=refund.currency,
        status="pending",
        reason=refund.reason,
        requested_by=None,
        stripe_refund_id=refund.stripe_refund_id,
        created_at=refund.created_at,
    )


def _new_dispute(invoice: InvoiceRow, dispute: StripeDispute) -> DisputeRow:
    return DisputeRow(
        dispute_id=new_id("dispute"),
        invoice_id=invoice.invoice_id,
        customer=invoice.customer,
        amount=dispute.amount,
        currency=dispute.currency,
        status="inquiry",
        reason=dispute.reason,
        stripe_dispute_id=dispute.stripe_dispute_id,
        opened_at=dispute.opened_at,
    )
