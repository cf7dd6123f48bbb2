"""Pausing and resuming a subscription itself, not only its collection."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import (
    calendar,
    changes,
    charging,
    cycle,
    invoicing,
    lines,
    pending_items,
    proration,
)
from sandbox.stripe.billing.updates import mark_emitted, updating
from sandbox.stripe.faults import invalid
from sandbox.stripe.parameters import integer, one_of

PAUSE_FIELDS = {
    "bill_for": {
        "outstanding_usage_through": {"type!": one_of("none", "now")},
        "unused_time_from": {"type!": one_of("item_current_period_start", "none", "now")},
    },
    "invoicing_behavior": one_of("invoice", "pending_invoice_item"),
    "type": one_of("subscription"),
}
RESUME_FIELDS = {
    "billing_cycle_anchor": {"type!": one_of("now", "unchanged")},
    "payment_behavior": one_of("resume_on_payment_attempt", "resume_on_payment_success"),
    "proration_behavior": one_of("always_invoice", "create_prorations", "none"),
    "proration_date": integer,
}


def pause(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Pause a subscription: no periods or invoices until it is resumed.

    Unused time is credited by default.
    """
    if subscription["status"] not in ("active", "trialing", "past_due"):
        raise invalid(f"You cannot pause a subscription that is {subscription['status']}.")
    bill_for = params.get("bill_for") or {}
    unused_from = (bill_for.get("unused_time_from") or {"type": "now"})["type"]
    with updating(account, subscription):
        if unused_from != "none":
            start = lines.period_of(subscription)[0]
            pending_items.credit_unused(account, subscription, at if unused_from == "now" else start)
        usage = (bill_for.get("outstanding_usage_through") or {"type": "now"})["type"]
        used = cycle.usage_so_far(account, subscription, at) if usage == "now" else []
        if params.get("invoicing_behavior") == "invoice" or any(line["amount"] for line in used):
            cycle.last_invoice(account, subscription, used)
        subscription.update(
            status="paused",
            status_details={
                "paused": {
                    "subscription": {"type": "pause_requested"},
                    "transitioned_at": at,
                    "type": "subscription",
                }
            },
        )
        account.emit("customer.subscription.paused", subscription)
        mark_emitted(subscription)


def resume(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Resume a paused subscription with a new cycle from now, or prorated within the old one."""
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    new_cycle = (params.get("billing_cycle_anchor") or {"type": "now"})["type"] == "now"
    with updating(account, subscription):
        if new_cycle:
            subscription["billing_cycle_anchor"] = at
            lines.set_period(subscription, *changes.next_period(subscription, at))
            found = changes.period_lines(account, {**subscription, "status": "active"})
        else:
            _resume_old_cycle(account, subscription, params, at)
            found = []
        invoice = _invoice(account, subscription, found) if new_cycle or _invoices_now(params) else None
        requires_payment = params.get("payment_behavior") == "resume_on_payment_success"
        if invoice is not None and invoice["status"] == "open" and requires_payment:
            subscription["_resumed_by"] = invoice["id"]
        else:
            subscription.update(status="active", status_details=None)
            account.emit("customer.subscription.resumed", subscription)
            mark_emitted(subscription)
        if invoice is not None and invoice["status"] == "open":
            charging.attempt(account, invoice)


def _invoices_now(params: Json) -> bool:
    return params.get("proration_behavior") == "always_invoice"


def _resume_old_cycle(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Continue the old cycle, charging for the rest of the period."""
    interval, count = changes.cycle_of(subscription)
    anchor = subscription["billing_cycle_anchor"]
    end = calendar.next_boundary(anchor, interval, count, at)
    lines.set_period(subscription, calendar.previous_boundary(anchor, interval, count, end), end)
    if params.get("proration_behavior") == "none":
        return
    customer = account.get("customer", subscription["customer"])
    moment = params.get("proration_date") or at
    found = [
        lines.proration_entry(account, customer, subscription, each, at)
        for each in proration.between([], lines.billed_items(subscription), moment)
    ]
    pending_items.store(account, [entry for entry in found if entry["amount"]])


def _invoice(account: Account, subscription: Json, found: list[Json]) -> Json | None:
    waiting = [
        lines.from_invoice_item(account, entry) for entry in pending_items.waiting(account, subscription)
    ]
    if not waiting and not found:
        return None
    customer = account.get("customer", subscription["customer"])
    invoice = invoicing.compose(
        account, customer, waiting + found, reason="subscription_update", subscription=subscription
    )
    invoicing.issue(account, invoice)
    charging.finalize(account, invoice)
    return invoice
