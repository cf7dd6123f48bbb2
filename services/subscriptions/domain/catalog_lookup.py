"""Catalog look-ups that the rules need, and building a subscription item from a price."""

from typing import Protocol

from tallystick.messages.catalog import Feature, Price, Product
from tallystick.messages.subscriptions import CustomPrice, ItemFeature, SubscriptionItem
from tallystick.messages.tax_rates import TaxRate


class CatalogLookup(Protocol):
    """The catalog, archived entries included; look-ups return None for an unknown code."""

    def price(self, code: str) -> Price | None:
        """Return a price by its code."""

    def price_by_stripe_id(self, stripe_price_id: str) -> Price | None:
        """Return a price by its id in Stripe."""

    def product(self, code: str) -> Product | None:
        """Return a product by its code."""

    def tax_rate_by_stripe_id(self, stripe_tax_rate_id: str) -> TaxRate | None:
        """Return a tax rate by its id in Stripe."""

    def product_by_stripe_id(self, stripe_product_id: str) -> Product | None:
        """Return a product by its id in Stripe."""

    def product_of(self, price: Price) -> Product:
        """Return the product that a price sells."""

    def feature(self, code: str) -> Feature | None:
        """Return a feature by its code."""


def build_item(catalog: CatalogLookup, price: Price, quantity: int) -> SubscriptionItem:
    """Build the item for a price, with the product's features as the catalog has them now."""
    product = catalog.product_of(price)
    return SubscriptionItem(
        product=product.code,
        price=price.code,
        quantity=quantity,
        seats=product.seats,
        features=_features(catalog, product),
        stripe_price_id=price.stripe_price_id,
        interval=price.interval,
        interval_count=price.interval_count,
        license=product.license,
    )


def build_custom_price_item(
    catalog: CatalogLookup,
    product: Product,
    quantity: int,
    stripe_price_id: str,
    custom_price: CustomPrice | None,
) -> SubscriptionItem:
    """Build the item for a price that only Stripe has, on a product of the catalog; it grants the same."""
    return SubscriptionItem(
        product=product.code,
        price=None,
        quantity=quantity,
        seats=product.seats,
        features=_features(catalog, product),
        stripe_price_id=stripe_price_id,
        custom_price=custom_price,
        interval=custom_price.interval if custom_price else None,
        interval_count=custom_price.interval_count if custom_price else None,
        license=product.license,
    )


def build_unknown_product_item(
    stripe_price_id: str, quantity: int, custom_price: CustomPrice | None
) -> SubscriptionItem:
    """Build the item for a Stripe product that the catalog does not have; it grants nothing."""
    return SubscriptionItem(
        product=None,
        price=None,
        quantity=quantity,
        seats=None,
        features=[],
        stripe_price_id=stripe_price_id,
        custom_price=custom_price,
        interval=custom_price.interval if custom_price else None,
        interval_count=custom_price.interval_count if custom_price else None,
    )


def _features(catalog: CatalogLookup, product: Product) -> list[ItemFeature]:
    return [
        ItemFeature(**given.model_dump(), kind=feature.kind)
        for given in product.features
        if (feature := catalog.feature(given.feature)) is not None
    ]
