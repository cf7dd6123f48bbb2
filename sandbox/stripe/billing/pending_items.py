"""Invoice items that wait for the next invoice.

Those of a subscription's changes, and those a customer was given.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import lines, pricing, proration

MAX_WAITING = 250
"""Stripe's limit of pending invoice items a customer."""


def waiting(account: Account, subscription: Json) -> list[Json]:
    """What the subscription's next invoice takes along.

    Its own items, and its customer's in the same currency.
    """
    found = account.find("invoiceitem", customer=subscription["customer"], invoice=None)
    return [
        entry
        for entry in found
        if entry["currency"] == subscription["currency"] and owner(entry) in (None, subscription["id"])
    ]


def own(account: Account, subscription: Json) -> list[Json]:
    """What waits of the subscription's own changes."""
    found = account.find("invoiceitem", customer=subscription["customer"], invoice=None)
    return [entry for entry in found if owner(entry) == subscription["id"]]


def owner(entry: Json) -> str | None:
    """The subscription an invoice item belongs to."""
    details = (entry["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None


def store(account: Account, found: list[Json]) -> None:
    """Keep new invoice items and tell of them."""
    for entry in found:
        account.insert(entry)
        account.emit("invoiceitem.created", entry)


def unused(account: Account, subscription: Json, at: int) -> list[Json]:
    """The credits (not stored yet) for what was paid for the rest of the running period."""
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
    """Credit what was paid for the rest of the running period, on the next invoice."""
    store(account, unused(account, subscription, at))


def forget(account: Account, found: list[Json]) -> None:
    """Delete invoice items that are not to be billed."""
    for entry in found:
        account.remove(entry)
        account.emit("invoiceitem.deleted", entry)
