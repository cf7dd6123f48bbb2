"""Subscription states for tests of the domain, with the features they include."""

from datetime import UTC, datetime
from typing import Any

from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import FeatureKind, SeatRule
from tallystick.messages.subscriptions import ItemFeature, Status, SubscriptionItem

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
NEW_YEAR = 1767225600
"""2026-01-01T00:00:00Z in Stripe's seconds."""
JANUARY = 31 * 86400
"""The length of January in seconds."""


def gives(feature: str, kind: FeatureKind, quantity: int | None = None, *, team: bool = False) -> ItemFeature:
    return ItemFeature(feature=feature, quantity=quantity, every=None, team_allowed=team, kind=kind)


def subscribed(
    *features: ItemFeature,
    product: str = "shop",
    quantity: int = 1,
    seats: SeatRule | None = None,
    status: Status = "active",
) -> State:
    item = SubscriptionItem(
        product=product, price=f"{product}_monthly", quantity=quantity, seats=seats, features=list(features)
    )
    return State(
        status=status,
        collection="automatic",
        items=(item,),
        current_period_start=None,
        current_period_end=FEBRUARY,
    )


def stripe_invoice(**fields: Any) -> dict[str, Any]:
    """An open invoice of 10.00 in Stripe's form."""
    return {
        "id": "in_1",
        "customer": "cus_1",
        "status": "open",
        "number": "A-1",
        "total": 1000,
        "amount_due": 1000,
        "amount_paid": 0,
        "currency": "eur",
        "attempt_count": 0,
        "created": NEW_YEAR,
        "metadata": {},
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "parent": {"subscription_details": {"subscription": "sub_1"}},
        "lines": {
            "data": [
                {
                    "description": "3 × Team",
                    "amount": 1000,
                    "quantity": 3,
                    "period": {"start": NEW_YEAR, "end": NEW_YEAR + JANUARY},
                    "parent": {"subscription_item_details": {"proration": False}},
                    "pricing": {"price_details": {"price": "price_1"}},
                }
            ]
        },
        **fields,
    }
