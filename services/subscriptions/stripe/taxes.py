"""The tax rates of a changed item, and Stripe's error where it cannot tell what to tax."""

from collections.abc import Iterable

import stripe

from services.subscriptions.domain.stripe_objects import StripeItem, StripeSubscription

LOCATION_UNKNOWN = "customer_tax_location_invalid"
"""Stripe's error code if it cannot tell from the customer's address where to tax."""


def changed_rates(
    present: StripeSubscription, item: StripeItem, wanted: list[str] | None, known: Iterable[str]
) -> list[str] | None:
    """Return the tax rates that an item gets with a change; None if they stay.

    `wanted` are those of the price, None if the catalog has no tax rates; `known` are all that it ever had.
    Rates that were attached in Stripe's dashboard stay, and so does automatic tax.
    """
    if present.automatic_tax or wanted is None or not set(item.tax_rates) <= set(known):
        return None
    return None if set(item.tax_rates) == set(wanted) else wanted


def is_location_unknown(error: stripe.InvalidRequestError) -> bool:
    """Return whether Stripe cannot compute the tax because the customer's address does not say where."""
    return error.code == LOCATION_UNKNOWN
