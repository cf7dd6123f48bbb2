"""Previews of invoices that Stripe makes: of a change, a purchase, a cancellation, and the next one."""

from datetime import datetime
from typing import Any

import stripe

from services.subscriptions.domain.stripe_objects import Json, StripeSubscription
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.item_changes import (
    BEHAVIORS,
    ItemChange,
    changed_item,
    items_after,
    proration_date,
    tax_params,
)
from shared.errors import Rejected
from tallystick.messages.subscriptions import Proration


async def preview_change(
    gateway: StripeGateway,
    present: StripeSubscription,
    change: ItemChange,
    proration: Proration,
    *,
    at: datetime | None = None,
) -> Json:
    """Preview the invoice of a change made now: that of the change itself, else the next regular one."""
    details = {
        "items": [changed_item(present, change)],
        "proration_behavior": BEHAVIORS[proration],
        **proration_date(at),
    }
    return await _preview(
        gateway, {"subscription": present.stripe_subscription_id, "subscription_details": details}
    )


async def preview_purchase(gateway: StripeGateway, stripe_customer_id: str, item: dict[str, Any]) -> Json:
    """Preview the first invoice of a new subscription to an item, given by its parameters."""
    return await _preview_new(gateway, stripe_customer_id, [item], gateway.tax.of_owner())


async def preview_unused_time(
    gateway: StripeGateway, stripe_subscription_id: str, at: datetime | None
) -> Json | None:
    """Preview the last invoice of a subscription that ends at a time, or now; None if it has ended."""
    details: dict[str, Any] = {"cancel_now": True, "proration_behavior": "create_prorations"}
    if at is not None:
        details["proration_date"] = int(at.timestamp())
    params: dict[str, Any] = {"subscription": stripe_subscription_id, "subscription_details": details}
    async with gateway.calls():
        try:
            preview = await gateway.api.invoices.create_preview_async(params)  # type: ignore[arg-type]
        except stripe.InvalidRequestError:
            return None
        return preview.to_dict()


async def preview_regular(gateway: StripeGateway, present: StripeSubscription, change: ItemChange) -> Json:
    """Preview a whole period after a change, without the schedule; it is dated from today."""
    tax = tax_params(present)
    return await _preview_new(gateway, present.stripe_customer_id, items_after(present, change), tax)


async def preview_upcoming_invoice(gateway: StripeGateway, **of: str) -> Json | None:
    """Preview the next invoice of a `customer` or `subscription`; None if none is coming."""
    async with gateway.calls():
        try:
            preview = await gateway.api.invoices.create_preview_async(of)  # type: ignore[arg-type]
        except stripe.InvalidRequestError as error:
            if error.http_status == 404 or error.code == "invoice_upcoming_none":
                return None
            raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error
        return preview.to_dict()


async def _preview_new(
    gateway: StripeGateway, stripe_customer_id: str, items: list[Any], tax: dict[str, Any]
) -> Json:
    details: dict[str, Any] = {"items": items}
    if "default_tax_rates" in tax:
        details["default_tax_rates"] = tax["default_tax_rates"]
    params = {"customer": stripe_customer_id, "subscription_details": details}
    if "automatic_tax" in tax:
        params["automatic_tax"] = tax["automatic_tax"]
    return await _preview(gateway, params)


async def _preview(gateway: StripeGateway, params: dict[str, Any]) -> Json:
    async with gateway.calls(), stripe_rejections():
        preview = await gateway.api.invoices.create_preview_async(params)  # type: ignore[arg-type]
        return preview.to_dict()
