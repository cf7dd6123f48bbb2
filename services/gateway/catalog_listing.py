"""The part of the catalog that customers see."""

from collections.abc import Iterable

from tallystick.messages.catalog import Catalog, Feature, ProductWithPrices


def listed_products(catalog: Catalog, kind: str) -> list[ProductWithPrices]:
    """Return the products of a kind that are for sale, each with its listed prices, without seller terms."""
    products = []
    for product in catalog.products:
        prices = [price for price in product.prices if price.listed and not price.archived]
        if product.kind == kind and not product.archived and prices:
            # What a seller is owed is between the seller and the platform.
            products.append(product.model_copy(update={"prices": prices, "seller": None}))
    return products


def unarchived_features(features: Iterable[Feature]) -> list[Feature]:
    """Return the features that are not archived."""
    return [feature for feature in features if not feature.archived]
