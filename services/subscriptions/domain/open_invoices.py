"""Which payment method is new, and which open invoices it pays at once."""

from collections.abc import Collection, Mapping
from typing import Any

from services.subscriptions.domain.stripe_objects import Json, reference_id


def new_payment_method(event_type: str, body: Json, previous: Json) -> str | None:
    """Return the payment method that an event made the default of a customer or a subscription, if any.

    `previous` are the event's previous values, which Stripe sends only for what has changed.
    """
    if event_type == "customer.updated":
        body, previous = (
            body.get("invoice_settings") or {},
            previous.get("invoice_settings") or {},
        )
    elif event_type != "customer.subscription.updated":
        return None
    if "default_payment_method" not in previous:
        return None
    method = reference_id(body.get("default_payment_method"))
    return method if method != reference_id(previous.get("default_payment_method")) else None


def is_collectible(invoice: Mapping[str, Any], live: Collection[str]) -> bool:
    """Return whether Stripe has tried to collect an open invoice automatically, and would again.

    `live` are the Stripe ids of the customer's running subscriptions. The invoice of a subscription that has
    ended, or of a charge that is being made, is left alone.
    """
    if invoice.get("status") != "open" or invoice.get("collection_method") != "charge_automatically":
        return False
    if not invoice.get("attempt_count") or not invoice.get("amount_remaining"):
        return False
    subscription = _subscription(invoice)
    return subscription in live if subscription is not None else bool(invoice.get("auto_advance"))


def _subscription(invoice: Mapping[str, Any]) -> str | None:
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return reference_id(details.get("subscription")) or reference_id(invoice.get("subscription"))
