"""Pending invoice items, of subscription changes and of customers."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import lines, pricing, proration

MAX_WAITING = 250
"""Stripe's limit of pending invoice items per customer."""


def waiting(account: Account, subscription: Json) -> list[Json]:
    """Return the items of the subscription's next invoice.

    These are its own, and the customer's in the same currency.
    """
    found = account.find("invoiceitem", customer=subscription["customer"], invoice=None)
    return [
        entry
        for entry in found
        if entry["currency"] == subscription["currency"] and owner(entry) in (None, subscription["id"])
    ]


def own(account: Account, subscription: Json) -> list[Json]:
    """Return the pending items of the subscription itself."""
    found = account.find("invoiceitem", customer=subscription["customer"], invoice=None)
    return [entry for entry in found if owner(entry) == subscription["id"]]


def owner(entry: Json) -> str | None:
    """Return the subscription of an invoice item."""
    details = (entry["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None


def store(account: Account, found: list[Json]) -> None:
    """Store new invoice items and emit their events."""
    for entry in found:
        account.insert(entry)
        account.emit("invoiceitem.created", entry)


def unused(account: Account, subscription: Json, at: int) -> list[Json]:
    """Return the credits (not stored yet) for the paid rest of the current period."""
    if subscription["status"] == "trialing":
        return []
    customer = account.get("customer", subscription["customer"])
    found = [
        lines.proration_entry(account, customer, subscription, proration.unused_time(item, at), at)
        for item in lines.billed_items(subscription)
        if not pricing.is_metered(item.price)
    ]
    return [entry for entry in found if entry["amount"]]


def credit_unused(account: Account, subscription: Json, at: int) -> None:
    """Credit the paid rest of the current period on the next invoice."""
    store(account, unused(account, subscription, at))


def forget(account: Account, found: list[Json]) -> None:
    """Delete invoice items without billing them."""
    for entry in found:
        account.remove(entry)
        account.emit("invoiceitem.deleted", entry)
