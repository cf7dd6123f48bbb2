"""Calls to Stripe that change a subscription at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import stripe

from services.subscriptions.domain.stripe_objects import StripeSubscription, read_subscription
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.item_changes import BEHAVIORS, ItemChange, changed_item, proration_date
from shared.errors import Rejected
from tallystick.messages.subscriptions import Proration


async def change_now(
    gateway: StripeGateway,
    present: StripeSubscription,
    change: ItemChange,
    proration: Proration,
    key: str,
    *,
    at: datetime | None = None,
) -> StripeSubscription:
    """Change an item at once, prorated from `at` or from now, and return the subscription.

    Raises Rejected `payment_failed` if the amount due now cannot be paid; then nothing has changed.
    """
    params: dict[str, Any] = {
        "items": [changed_item(present, change)],
        "proration_behavior": BEHAVIORS[proration],
        **proration_date(at),
    }
    if not present.sends_invoice:
        params["payment_behavior"] = "error_if_incomplete"
    async with gateway.calls(), stripe_rejections(), _payment_failures():
        updated = await gateway.api.subscriptions.update_async(
            present.stripe_subscription_id,
            params,  # type: ignore[arg-type]
            {"idempotency_key": key},
        )
        return read_subscription(updated.to_dict())


async def get_subscription(gateway: StripeGateway, stripe_subscription_id: str) -> StripeSubscription:
    """Fetch a subscription; raises Rejected `not_found`."""
    present = await gateway.find_subscription(stripe_subscription_id)
    if present is None:
        raise Rejected(
            "not_found",
            "Stripe does not have this subscription any more.",
            {"stripe_subscription_id": stripe_subscription_id},
        )
    return present


@asynccontextmanager
async def _payment_failures() -> AsyncIterator[None]:
    """Convert declined payments and a missing payment method to Rejected `payment_failed`."""
    try:
        yield
    except stripe.CardError as error:
        details = {"stripe_code": error.code, "decline_code": _decline_code(error)}
        raise _payment_failed(error, details) from error
    except stripe.InvalidRequestError as error:
        # Only for a missing payment method, the error names no parameter.
        if error.code != "resource_missing" or error.param is not None:
            raise
        raise _payment_failed(error, {"stripe_code": error.code, "decline_code": None}) from error


def _payment_failed(error: stripe.StripeError, details: dict[str, Any]) -> Rejected:
    return Rejected("payment_failed", f"The payment failed: {error.user_message or error}", details)


def _decline_code(error: stripe.CardError) -> str | None:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    code = (body.get("error") or {}).get("decline_code")
    return code if isinstance(code, str) else None
