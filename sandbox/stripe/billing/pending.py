"""Pending updates: changes that wait for payment (`payment_behavior=pending_if_incomplete`)."""

from __future__ import annotations

import copy

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import invoicing
from sandbox.stripe.billing.lines import period_of
from sandbox.stripe.billing.settings import INCOMPLETE_SECONDS
from sandbox.stripe.billing.updates import updating

CHANGED = ("items", "billing_cycle_anchor", "trial_start", "trial_end", "status")
"""Fields of a subscription that a pending update may set."""
_NOTE = "_pending"


def hold(account: Account, subscription: Json, after: Json, invoice: Json) -> None:
    """Store a change until its invoice is paid, for at most 23 hours."""
    expires = min(account.now(subscription) + INCOMPLETE_SECONDS, period_of(subscription)[1])
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "cancel_at_period_end": None,
        "discount": None,
        "discounts": None,
        "expires_at": expires,
        "metadata": None,
        "subscription_items": copy.deepcopy(after["items"]["data"]),
        "trial_end": after["trial_end"],
        "trial_from_plan": None,
    }
    subscription[_NOTE] = {
        "invoice": invoice["id"],
        "request": dict(account.request),
        "after": copy.deepcopy({name: after[name] for name in CHANGED}),
    }


def invoice_of(subscription: Json) -> str | None:
    """Return the invoice that a pending update waits for."""
    note = subscription.get(_NOTE)
    return note["invoice"] if note else None


def apply(account: Account, subscription: Json) -> None:
    """Apply the pending update after its invoice was paid."""
    note = subscription.pop(_NOTE)
    status = subscription["status"]
    subscription.update(note["after"])
    if status in ("past_due", "unpaid"):
        subscription["status"] = status
    subscription["pending_update"] = None
    if note["request"] != account.request:
        account.emit("customer.subscription.pending_update_applied", subscription)


def expire(account: Account, subscription: Json) -> None:
    """Discard the pending update, whose invoice was not paid in time."""
    with updating(account, subscription):
        drop(account, subscription)
        account.emit("customer.subscription.pending_update_expired", subscription)


def drop(account: Account, subscription: Json) -> None:
    """Discard a pending update and void its invoice, if there is one."""
    note = subscription.pop(_NOTE, None)
    if note is None:
        return
    subscription["pending_update"] = None
    invoice = account.get("invoice", note["invoice"])
    if invoice["status"] == "open":
        invoicing.void(account, invoice)
