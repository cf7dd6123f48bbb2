"""What these rules need to know of the catalog, and how an item of a subscription is made from it."""

from typing import Protocol

from tallystick.messages.catalog import Feature, Price, Product
from tallystick.messages.subscriptions import ItemFeature, SubscriptionItem


class CatalogLookup(Protocol):
    """The catalog, archived things included; None for what it never had."""

    def price(self, code: str) -> Price | None:
        """A price by its code."""

    def price_by_stripe_id(self, stripe_price_id: str) -> Price | None:
        """A price by its id in Stripe."""

    def product_of(self, price: Price) -> Product:
        """The product that a price sells."""

    def feature(self, code: str) -> Feature | None:
        """A feature by its code."""


def build_item(catalog: CatalogLookup, price: Price, quantity: int) -> SubscriptionItem:
    """An item at a price of ours, with the product's features as the catalog has them now."""
    product = catalog.product_of(price)
    features = [
        ItemFeature(**given.model_dump(), kind=feature.kind)
        for given in product.features
        if (feature := catalog.feature(given.feature)) is not None
    ]
    return SubscriptionItem(
        product=product.code,
        price=price.code,
        quantity=quantity,
        seats=product.seats,
        features=features,
        stripe_price_id=price.stripe_price_id,
    )


def build_unknown_price_item(stripe_price_id: str, quantity: int) -> SubscriptionItem:
    """An item bought in Stripe at a price that the catalog does not know: shown, but granting nothing."""
    return SubscriptionItem(
        product=None, price=None, quantity=quantity, seats=None, features=[], stripe_price_id=stripe_price_id
    )
