"""A price that only Stripe has, in the form of the catalog's prices, so that its quantity can be changed."""

from tallystick.messages.catalog import Price
from tallystick.messages.subscriptions import SubscriptionItem

NEGOTIATED = "negotiated"
"""Stands for the code, which such a price does not have; it is never sent anywhere."""


def negotiated_price(item: SubscriptionItem) -> Price | None:
    """Return the price of an item that the catalog does not have; None if its terms are not known.

    It is sold by quantity. Its amount is 0 where Stripe has tiers, which are not read.
    """
    terms = item.custom_price
    if item.price is not None or terms is None or item.product is None:
        return None
    return Price(
        price_id=f"price_{NEGOTIATED}",
        version=1,
        code=NEGOTIATED,
        product=item.product,
        model="per_seat",
        currency=terms.currency,
        interval=terms.interval,
        interval_count=terms.interval_count,
        unit_amount=max(terms.unit_amount or 0, 0),
        base_amount=0,
        tiers=[],
        trial_days=None,
        listed=False,
        archived=False,
        stripe_price_id=item.stripe_price_id,
    )
