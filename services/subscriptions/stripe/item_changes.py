"""The parameters by which one item of a Stripe subscription is changed."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.domain.stripe_objects import StripeItem, StripeSubscription
from services.subscriptions.domain.tax_settings import AUTOMATIC
from services.subscriptions.stripe.taxes import changed_rates
from shared.errors import Rejected
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import Proration

BEHAVIORS: dict[Proration, str] = {
    "prorate": "create_prorations",
    "invoice": "always_invoice",
    "none": "none",
}
"""Stripe's `proration_behavior`."""


class ItemChange(BaseModel):
    """Another price or quantity for one item, with Stripe's price ids."""

    model_config = ConfigDict(frozen=True)

    before: str
    """The item's present price id."""
    after: str
    quantity: int
    interval: Interval
    interval_count: int = 1
    tax_rates: list[str] | None = None
    """Stripe's ids of the new price's tax rates; None if the catalog has no tax rates."""
    known_tax_rates: list[str] = Field(default=[])
    """Those of all tax rates that the catalog has or had."""


def changed_item(present: StripeSubscription, change: ItemChange) -> dict[str, Any]:
    """Return the changed item's parameters."""
    item = _item(present, change)
    params = {"id": item.stripe_item_id, "price": change.after, "quantity": change.quantity}
    rates = changed_rates(present, item, change.tax_rates, change.known_tax_rates)
    # An empty text takes the rates away.
    return params if rates is None else params | {"tax_rates": rates or ""}


def items_after(present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """Return the parameters of all items after the change."""
    items = items_now(present, change)
    items[present.items.index(_item(present, change))] |= {"price": change.after, "quantity": change.quantity}
    return items


def items_now(present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """Return the present items' parameters; what a schedule does not repeat, an item loses.

    The item to change has its new tax rates already: the running period is invoiced, and Stripe refuses to
    name rates again that are archived.
    """
    changed = _item(present, change)
    rates = changed_rates(present, changed, change.tax_rates, change.known_tax_rates)
    found = []
    for item in present.items:
        params: dict[str, Any] = {"price": item.stripe_price_id, "quantity": item.quantity}
        tax_rates = rates if item is changed and rates is not None else list(item.tax_rates)
        found.append(params | ({"tax_rates": tax_rates} if tax_rates else {}))
    return found


def proration_date(at: datetime | None) -> dict[str, Any]:
    """Return the parameter of the time from which a change is prorated; none for now."""
    return {} if at is None else {"proration_date": int(at.timestamp())}


def tax_params(present: StripeSubscription) -> dict[str, Any]:
    """Return how a subscription is taxed, in the parameters of a phase."""
    if present.automatic_tax:
        return AUTOMATIC
    return {"default_tax_rates": list(present.default_tax_rates)} if present.default_tax_rates else {}


def _item(present: StripeSubscription, change: ItemChange) -> StripeItem:
    """Return the item to change; after a crash it may have the new price already."""
    for price in (change.before, change.after):
        for item in present.items:
            if item.stripe_price_id == price:
                return item
    raise Rejected(
        "unknown_price",
        "The subscription was changed in Stripe meanwhile.",
        {"stripe_subscription_id": present.stripe_subscription_id},
    )
