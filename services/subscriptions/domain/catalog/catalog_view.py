"""An in-memory view of the catalog, for look-ups.

Archived entries are included: they are no longer sold, but subscriptions may still use them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tallystick.messages.catalog import Catalog, Feature, Price, Product, ProductWithPrices


@dataclass(frozen=True)
class CatalogView:
    """Features, products and prices by code, in the document's order; None for unknown codes."""

    features: Mapping[str, Feature] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    revision: int = 0

    def feature(self, code: str) -> Feature | None:
        """Return a feature by its code."""
        return self.features.get(code)

    def product(self, code: str) -> Product | None:
        """Return a product by its code."""
        return self.products.get(code)

    def price(self, code: str) -> Price | None:
        """Return a price by its code, which is its `lookup_key` in Stripe too."""
        return self.prices.get(code)

    def product_of(self, price: Price) -> Product:
        """Return the product that a price sells; every price has one."""
        return self.products[price.product]

    def price_by_stripe_id(self, stripe_price_id: str) -> Price | None:
        """Return a price by its id in Stripe."""
        return self._prices_by_stripe_id.get(stripe_price_id)

    def product_by_stripe_id(self, stripe_product_id: str) -> Product | None:
        """Return a product by its id in Stripe."""
        return self._products_by_stripe_id.get(stripe_product_id)

    def listing(self, *, include_archived: bool) -> Catalog:
        """Return the catalog as `get_catalog` shows it."""
        prices: dict[str, list[Price]] = {}
        for price in self.prices.values():
            if include_archived or not price.archived:
                prices.setdefault(price.product, []).append(price)
        return Catalog(
            revision=self.revision,
            features=[item for item in self.features.values() if include_archived or not item.archived],
            products=[
                ProductWithPrices(**dict(product), prices=prices.get(product.code, []))
                for product in self.products.values()
                if include_archived or not product.archived
            ],
        )

    @cached_property
    def _prices_by_stripe_id(self) -> dict[str, Price]:
        return {price.stripe_price_id: price for price in self.prices.values() if price.stripe_price_id}

    @cached_property
    def _products_by_stripe_id(self) -> dict[str, Product]:
        sold = self.products.values()
        return {product.stripe_product_id: product for product in sold if product.stripe_product_id}
