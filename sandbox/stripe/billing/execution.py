"""Execution of planned changes.

Stores the prorations, and creates and collects the invoice according to `payment_behavior`.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import changes, charging, invoicing, lines, pending, pending_items
from sandbox.stripe.billing.changes import Change


def execute(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Change items, trial or cycle of a subscription.

    With `error_if_incomplete` it raises the card error and changes nothing.
    """
    change = changes.plan(account, subscription, params, at)
    if not changes.bills_now(change, params):
        pending_items.store(account, change.entries)
        adopt(subscription, change.after)
        return
    invoice = immediate_invoice(account, subscription, change)
    behavior = params.get("payment_behavior") or "allow_incomplete"
    automatic = subscription["collection_method"] == "charge_automatically"
    if automatic and behavior == "error_if_incomplete":
        intent = charging.charge_first(account, invoice)
        _issue(account, subscription, change, invoice)
        adopt(subscription, change.after)
        charging.settle_with(account, invoice, intent)
        return
    _issue(account, subscription, change, invoice)
    if automatic and behavior == "pending_if_incomplete":
        _collect_before(account, subscription, change, invoice)
        return
    adopt(subscription, change.after)
    if automatic:
        charging.finalize(account, invoice)
        if invoice["status"] == "open" and behavior == "default_incomplete":
            subscription["status"] = "past_due"
        elif invoice["status"] == "open":
            charging.attempt(account, invoice)


def immediate_invoice(account: Account, subscription: Json, change: Change) -> Json:
    """Return the invoice that a change creates immediately.

    It has the pending items, prorations, usage so far and the new period.
    """
    waiting = [*pending_items.waiting(account, subscription), *change.entries]
    found = [lines.from_invoice_item(account, entry) for entry in waiting] + change.usage + change.lines
    return invoicing.compose(
        account,
        account.get("customer", subscription["customer"]),
        found,
        reason="subscription_update",
        subscription=subscription,
    )


def adopt(subscription: Json, after: Json) -> None:
    """Apply the planned state to the subscription."""
    overdue = subscription["status"] in ("past_due", "unpaid") and after["status"] == subscription["status"]
    for name in pending.CHANGED:
        if name != "status" or not overdue:
            subscription[name] = after[name]
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = lines.period_of(subscription)[1]


def _issue(account: Account, subscription: Json, change: Change, invoice: Json) -> None:
    pending_items.store(account, change.entries)
    invoicing.issue(account, invoice)


def _collect_before(account: Account, subscription: Json, change: Change, invoice: Json) -> None:
    """Collect the invoice before the change; the listener of the paid invoice then applies it."""
    charging.finalize(account, invoice)
    if invoice["status"] == "paid":
        adopt(subscription, change.after)
        return
    pending.hold(account, subscription, change.after, invoice)
    charging.attempt(account, invoice)
