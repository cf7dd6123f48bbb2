"""Dunning: the grace period of an overdue subscription, and what happens when it or the retries end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from services.subscriptions.domain.stripe_objects import moment
from services.subscriptions.domain.subscription_state import OVERDUE_STATUSES, State

GRACE_DAYS = 7
"""Default length of the grace period in days: enough to replace an expired card."""
SENT_INVOICE_DAYS = 30
"""Days that a sent invoice may be overdue: it is never retried, and Stripe offers no shorter time."""

EndState = Literal["canceled", "unpaid"]
"""Status of a subscription whose payment was never collected."""


def needs_grace(before: State | None, after: State) -> bool:
    """Whether the subscription has just become past due and needs a grace period.

    A subscription that was past due before keeps its grace period: further failed attempts do not extend it.
    """
    return after.status == "past_due" and (before is None or before.grace_until is None)


def with_grace(before: State | None, after: State, *, since: datetime, days: int) -> State:
    """Return the later state with its grace period, if it needs one: `days` counted from `since`."""
    if not needs_grace(before, after):
        return after
    return replace(after, grace_until=since + timedelta(days=days))


def with_recounted_grace(
    state: State, failures: Sequence[datetime], unpaid: Sequence[datetime], *, days: int
) -> State:
    """Return the state with its grace period counted from the first failed payment.

    `failures` are the times of the first failed payments of the subscription's invoices, `unpaid` those of
    invoices that are still owed. A grace period that was counted from a failed payment only becomes shorter;
    one that was counted from anything else is replaced, because that was an approximation.
    """
    if state.status not in OVERDUE_STATUSES or state.grace_until is None or state.restricted or not unpaid:
        return state
    length = timedelta(days=days)
    since, first = state.grace_until - length, min(unpaid)
    return replace(state, grace_until=(min(since, first) if since in failures else first) + length)


def restricted(state: State, at: datetime) -> State:
    """Return the state with `restricted` set once the grace period is over.

    A restricted subscription grants no features until the customer pays; nothing else is lost.
    """
    is_over = state.status == "past_due" and state.grace_until is not None and state.grace_until <= at
    return replace(state, restricted=True) if is_over else state


def collection_has_ended(invoice: Mapping[str, Any], at: datetime) -> bool:
    """Whether an invoice, given as Stripe's JSON, is no longer being collected."""
    if invoice.get("status") == "uncollectible":
        return True
    if invoice.get("status") != "open":
        return False
    if invoice.get("collection_method") == "send_invoice":
        due = moment(invoice.get("due_date"))
        return due is not None and due + timedelta(days=SENT_INVOICE_DAYS) <= at
    return bool(invoice.get("attempt_count")) and invoice.get("next_payment_attempt") is None


def mark_unpaid(state: State) -> State:
    """Return a past-due state as `unpaid`; any other state is returned unchanged."""
    return replace(state, status="unpaid") if state.status == "past_due" else state
