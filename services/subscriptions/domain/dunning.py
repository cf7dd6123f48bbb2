"""What is late: how long an overdue customer keeps everything, and when that is over."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from services.subscriptions.domain.stripe_objects import moment
from services.subscriptions.domain.subscription_state import OVERDUE_STATUSES, State

GRACE_DAYS = 7
"""Long enough for an expired card to be replaced, unless the installation says otherwise."""
SENT_INVOICE_DAYS = 30
"""How long a sent invoice may be overdue: nobody retries it, and this is the shortest that Stripe offers."""

EndState = Literal["canceled", "unpaid"]
"""What becomes of a subscription that is not paid for in the end."""


def needs_grace(before: State | None, after: State) -> bool:
    """Whether the later state is that of somebody who has just become late.

    Who was late before keeps the grace that was given then: further failed attempts do not prolong it.
    """
    return after.status == "past_due" and (before is None or before.grace_until is None)


def with_grace(before: State | None, after: State, *, since: datetime, days: int) -> State:
    """The later state with its grace, if it needs one: `days` from the moment `since` which it is late."""
    if not needs_grace(before, after):
        return after
    return replace(after, grace_until=since + timedelta(days=days))


def with_recounted_grace(
    state: State, failures: Sequence[datetime], unpaid: Sequence[datetime], *, days: int
) -> State:
    """The state with its grace counted from the first failed payment, once its event has told of that.

    `failures` are those of the subscription's invoices, `unpaid` those among them that are still owed. Grace
    that was counted from a failure before only ever becomes shorter; what was counted from anything else was
    as good as was known then.
    """
    if state.status not in OVERDUE_STATUSES or state.grace_until is None or state.restricted or not unpaid:
        return state
    length = timedelta(days=days)
    since, first = state.grace_until - length, min(unpaid)
    return replace(state, grace_until=(min(since, first) if since in failures else first) + length)


def restricted(state: State, at: datetime) -> State:
    """The state once grace is over: features are gone until the customer pays, nothing else is lost."""
    is_over = state.status == "past_due" and state.grace_until is not None and state.grace_until <= at
    return replace(state, restricted=True) if is_over else state


def collection_has_ended(invoice: Mapping[str, Any], at: datetime) -> bool:
    """Whether nobody tries any more to collect an invoice, given as Stripe's JSON, or waits for it."""
    if invoice.get("status") == "uncollectible":
        return True
    if invoice.get("status") != "open":
        return False
    if invoice.get("collection_method") == "send_invoice":
        due = moment(invoice.get("due_date"))
        return due is not None and due + timedelta(days=SENT_INVOICE_DAYS) <= at
    return bool(invoice.get("attempt_count")) and invoice.get("next_payment_attempt") is None


def mark_unpaid(state: State) -> State:
    """The state of who is no longer asked to pay, where that does not end the subscription."""
    return replace(state, status="unpaid") if state.status == "past_due" else state
