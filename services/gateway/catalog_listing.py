"""What of the catalog customers are shown."""

from collections.abc import Iterable

from tallystick.messages.catalog import Catalog, Feature, ProductWithPrices


def on_sale(catalog: Catalog, kind: str) -> list[ProductWithPrices]:
    """The products of a kind that customers are shown, with the prices they are shown."""
    sold = []
    for product in catalog.products:
        prices = [price for price in product.prices if price.listed and not price.archived]
        if product.kind == kind and not product.archived and prices:
            sold.append(product.model_copy(update={"prices": prices}))
    return sold


def living(features: Iterable[Feature]) -> list[Feature]:
    """The features that are still in the catalog."""
    return [feature for feature in features if not feature.archived]
