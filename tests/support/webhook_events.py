"""Stripe events and their signatures, made by hand as Stripe makes them."""

import hashlib
import hmac
import json
import time
from typing import Any

WEBHOOK_SECRET = "whsec_of_the_tests"


def stripe_event(
    event_id: str = "evt_1", event_type: str = "customer.subscription.updated", **changes: Any
) -> dict[str, Any]:
    """An event about a subscription; `changes` replace its fields."""
    event = {
        "id": event_id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_768_478_400,
        "data": {"object": {"id": "sub_1", "object": "subscription", "status": "active"}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    }
    return event | changes


def body(event: dict[str, Any]) -> bytes:
    """The event as it is sent."""
    return json.dumps(event, separators=(",", ":")).encode()


def signature(
    payload: bytes, *, secret: str = WEBHOOK_SECRET, age_seconds: float = 0, now: float | None = None
) -> str:
    """The header Stripe-Signature for a payload signed some seconds ago, or before another moment."""
    signed_at = int((time.time() if now is None else now) - age_seconds)
    digest = hmac.new(secret.encode(), f"{signed_at}.".encode() + payload, hashlib.sha256)
    return f"t={signed_at},v1={digest.hexdigest()}"
