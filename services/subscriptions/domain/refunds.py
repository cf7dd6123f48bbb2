"""Rules of refunds and disputes: how much may be refunded, and reading them from Stripe's JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.stripe_objects import Malformed, moment, reference_id
from tallystick.messages.subscriptions import DisputeStatus, RefundStatus

REFUND_ID_KEY = "tallystick_refund_id"
"""Metadata key of a Stripe refund: the id of ours."""
STRIPE_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
RETURNED: frozenset[str] = frozenset({"failed", "canceled"})
"""Statuses of refunds whose money was not paid out."""
HOLDING: frozenset[str] = frozenset({"open", "lost"})
"""Statuses of disputes that hold the payment."""
_REFUND_PROGRESS: dict[RefundStatus, int] = {"pending": 0, "succeeded": 1, "failed": 2, "canceled": 2}
_DISPUTE_PROGRESS: dict[DisputeStatus, int] = {"inquiry": 0, "open": 1, "closed": 2, "won": 2, "lost": 2}
"""Statuses only move up, so that events can be applied in any order."""
_DISPUTE_STATUSES: dict[str, DisputeStatus] = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "closed",
    "prevented": "closed",
    "needs_response": "open",
    "under_review": "open",
    "won": "won",
    "lost": "lost",
}


@dataclass(frozen=True, slots=True)
class StripeRefund:
    """A refund in Stripe."""

    stripe_refund_id: str
    refund_id: str | None
    """Our id, if the refund was made by a command."""
    amount: int
    currency: str
    status: RefundStatus
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StripeDispute:
    """A dispute in Stripe."""

    stripe_dispute_id: str
    amount: int
    currency: str
    status: DisputeStatus
    reason: str
    respond_by: datetime | None
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class PaidAmount:
    """What was paid of an invoice, and what of it is refunded or about to be."""

    status: str
    amount_paid: int
    refunded: int
    """All refunds that did not fail, those that Stripe has not made yet among them."""
    is_disputed: bool


def amount_to_refund(paid: PaidAmount, requested: int | None) -> int:
    """Return the amount to refund: the requested one, or all that is left.

    Raises RuleViolation `invoice_not_paid`, `already_refunded`, `amount_too_large` and `invoice_disputed`.
    """
    if paid.status != "paid" or paid.amount_paid <= 0:
        raise RuleViolation("invoice_not_paid", "Nothing was paid for this invoice.", status=paid.status)
    left = paid.amount_paid - paid.refunded
    if left <= 0:
        raise RuleViolation(
            "already_refunded", "All that was paid is refunded.", amount_refunded=paid.refunded
        )
    if paid.is_disputed:
        raise RuleViolation(
            "invoice_disputed",
            "The customer's bank has taken the payment back; a refund would pay it twice.",
        )
    if requested is not None and requested > left:
        raise RuleViolation(
            "amount_too_large", f"Only {left} is left of what was paid.", left=left, amount=requested
        )
    return left if requested is None else requested


def later_refund_status(before: RefundStatus, after: RefundStatus) -> RefundStatus:
    """Return the later of two statuses of a refund; a refund that succeeded may still fail."""
    return after if _REFUND_PROGRESS[after] > _REFUND_PROGRESS[before] else before


def later_dispute_status(before: DisputeStatus, after: DisputeStatus) -> DisputeStatus:
    """Return the later of two statuses of a dispute; a decision is final."""
    return after if _DISPUTE_PROGRESS[after] > _DISPUTE_PROGRESS[before] else before


def dispute_event(before: Iterable[str], after: Iterable[str]) -> str | None:
    """Return the event between the statuses of an invoice's disputes before and after; None: no event."""
    was_open, is_open = "open" in before, "open" in after
    if is_open and not was_open:
        return "disputed"
    if not is_open and (was_open or HOLDING & set(after) != HOLDING & set(before)):
        return "disputeClosed"
    return None


def read_refund(body: Mapping[str, Any]) -> StripeRefund:
    """Read a refund from Stripe's JSON; raises Malformed."""
    created_at, metadata = moment(body.get("created")), body.get("metadata") or {}
    if created_at is None:
        raise Malformed("the refund has no time")
    return StripeRefund(
        stripe_refund_id=_text(body, "id"),
        refund_id=metadata.get(REFUND_ID_KEY),
        amount=_amount(body),
        currency=_text(body, "currency"),
        status=_refund_status(body.get("status")),
        reason=body.get("reason"),
        created_at=created_at,
    )


def read_dispute(body: Mapping[str, Any]) -> StripeDispute:
    """Read a dispute from Stripe's JSON; raises Malformed."""
    opened_at, status = moment(body.get("created")), _DISPUTE_STATUSES.get(str(body.get("status")))
    if opened_at is None or status is None:
        raise Malformed(f"a dispute needs a time and a known status, not {body.get('status')!r}")
    return StripeDispute(
        stripe_dispute_id=_text(body, "id"),
        amount=_amount(body),
        currency=_text(body, "currency"),
        status=status,
        reason=_text(body, "reason"),
        respond_by=moment((body.get("evidence_details") or {}).get("due_by")),
        opened_at=opened_at,
    )


def payment_of(body: Mapping[str, Any]) -> str | None:
    """Return the payment intent of a charge, refund or dispute; None for a charge without one."""
    return reference_id(body.get("payment_intent"))


def _refund_status(status: Any) -> RefundStatus:
    match status:
        case "succeeded" | "failed" | "canceled":
            return status  # type: ignore[no-any-return] # narrowed by the pattern
        case "pending" | "requires_action":
            return "pending"
    raise Malformed(f"{status!r} is not a status of a refund")


def _amount(body: Mapping[str, Any]) -> int:
    amount = body.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise Malformed("the amount is not a whole number")
    return amount


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise Malformed(f"{field} is not a text")
    return value
