"""Subscription status: how it follows the invoices, and how a subscription ends."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import invoicing, pending, settings
from sandbox.stripe.billing.settings import RETRY_DAYS
from sandbox.stripe.billing.updates import mark_emitted, updating

ENDED = frozenset(["canceled", "incomplete_expired"])
SETTLED = frozenset(["paid", "void", "uncollectible"])


def on_invoice_settled(account: Account, invoice: Json) -> None:
    """Listener: update the status after an invoice was paid, voided or uncollectible.

    An incomplete subscription starts, a past-due one becomes active.
    """
    subscription = _subscription_of(account, invoice)
    if subscription is None or subscription["status"] in ENDED:
        return
    with updating(account, subscription):
        if pending.invoice_of(subscription) == invoice["id"]:
            if invoice["status"] == "paid":
                pending.apply(account, subscription)
            return
        latest = account.peek("invoice", subscription["latest_invoice"])
        settled = latest is None or latest["status"] in SETTLED
        if subscription["status"] == "incomplete" and invoice["status"] == "paid":
            subscription["status"] = "trialing" if is_in_trial(account, subscription) else "active"
        elif subscription["status"] in ("past_due", "unpaid") and settled:
            subscription["status"] = "active"
        elif subscription["status"] == "paused" and invoice["id"] == subscription.get("_resumed_by"):
            subscription.pop("_resumed_by")
            subscription.update(status="active", status_details=None)
            account.emit("customer.subscription.resumed", subscription)


def on_invoice_failed(account: Account, invoice: Json) -> None:
    """Listener: set the status to past due while retries are left, then to the end state."""
    subscription = _subscription_of(account, invoice)
    if subscription is None or subscription["status"] in (*ENDED, "incomplete", "paused", "unpaid"):
        return
    if pending.invoice_of(subscription) == invoice["id"]:
        return
    with updating(account, subscription):
        if subscription["status"] in ("active", "trialing"):
            subscription["status"] = "past_due"
        if invoice["attempt_count"] > len(RETRY_DAYS) and invoice["next_payment_attempt"] is None:
            give_up(account, subscription, invoice)


def give_up(account: Account, subscription: Json, invoice: Json) -> None:
    """Apply the end state after the last retry. As in Stripe, a later paid invoice prevents it."""
    latest = account.peek("invoice", subscription["latest_invoice"])
    if latest is not None and latest["id"] != invoice["id"] and latest["status"] == "paid":
        return
    state = settings.end_state(account)
    if state == "cancel":
        end(account, subscription, account.now(subscription), reason="payment_failed")
    elif state == "unpaid":
        subscription["status"] = "unpaid"


def end(account: Account, subscription: Json, at: int, *, reason: str, status: str = "canceled") -> None:
    """Set the final state, end the schedule and stop all automatic collection."""
    pending.drop(account, subscription)
    details = {**subscription["cancellation_details"], "reason": reason}
    subscription.update(
        status=status,
        ended_at=at,
        canceled_at=subscription["canceled_at"] or at,
        cancellation_details=details,
        pause_collection=None,
    )
    for invoice in account.find("invoice"):
        if invoicing.subscription_of(invoice) == subscription["id"] and invoice["status"] in (
            "draft",
            "open",
        ):
            invoicing.stop_collecting(account, invoice)
    if subscription["schedule"] is not None:
        end_schedule(account, subscription, at)
    if status == "canceled":
        account.emit("customer.subscription.deleted", subscription)
        mark_emitted(subscription)


def end_schedule(account: Account, subscription: Json, at: int) -> None:
    """End the schedule of a subscription that has ended."""
    schedule = account.get("subscription_schedule", subscription["schedule"])
    if schedule["status"] in ("active", "not_started"):
        schedule.update(status="canceled", canceled_at=at, current_phase=None)
        account.emit("subscription_schedule.canceled", schedule)


def expire(account: Account, subscription: Json) -> None:
    """Expire a subscription whose first payment did not arrive within 23 hours."""
    with updating(account, subscription):
        end(
            account,
            subscription,
            account.now(subscription),
            reason="payment_failed",
            status="incomplete_expired",
        )
        subscription["canceled_at"] = None
        latest = account.peek("invoice", subscription["latest_invoice"])
        if latest is not None and latest["status"] == "open":
            invoicing.void(account, account.get("invoice", latest["id"]))


def is_in_trial(account: Account, subscription: Json) -> bool:
    """Return whether the trial has not ended yet."""
    return subscription["trial_end"] is not None and subscription["trial_end"] > account.now(subscription)


def _subscription_of(account: Account, invoice: Json) -> Json | None:
    subscription_id = invoicing.subscription_of(invoice)
    if subscription_id is None or account.peek("subscription", subscription_id) is None:
        return None
    return account.get("subscription", subscription_id)
