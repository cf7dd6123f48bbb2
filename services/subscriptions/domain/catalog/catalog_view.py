"""An in-memory view of the catalog, for look-ups.

Archived entries are included: they are no longer sold, but subscriptions may still use them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tallystick.messages.catalog import Catalog, Feature, Price, Product, ProductWithPrices
from tallystick.messages.tax_rates import TaxRate


@dataclass(frozen=True)
class CatalogView:
    """Features, products and prices by code, in the document's order; None for unknown codes."""

    features: Mapping[str, Feature] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    tax_rates: Mapping[str, TaxRate] = field(default_factory=dict)
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

    def tax_rate(self, code: str) -> TaxRate | None:
        """Return a tax rate by its code."""
        return self.tax_rates.get(code)

    def tax_rate_by_stripe_id(self, stripe_tax_rate_id: str) -> TaxRate | None:
        """Return a tax rate by its id in Stripe."""
        return self._tax_rates_by_stripe_id.get(stripe_tax_rate_id)

    def stripe_tax_rates(self, codes: Iterable[str]) -> list[str]:
        """Return the Stripe ids of tax rates, without those that Stripe does not have yet."""
        rates = (self.tax_rates[code] for code in codes if code in self.tax_rates)
        return [rate.stripe_tax_rate_id for rate in rates if rate.stripe_tax_rate_id is not None]

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
            tax_rates=[rate for rate in self.tax_rates.values() if include_archived or not rate.archived],
        )

    @cached_property
    def _prices_by_stripe_id(self) -> dict[str, Price]:
        return {price.stripe_price_id: price for price in self.prices.values() if price.stripe_price_id}

    @cached_property
    def _tax_rates_by_stripe_id(self) -> dict[str, TaxRate]:
        rates = self.tax_rates.values()
        return {rate.stripe_tax_rate_id: rate for rate in rates if rate.stripe_tax_rate_id}

    @cached_property
    def _products_by_stripe_id(self) -> dict[str, Product]:
        sold = self.products.values()
        return {product.stripe_product_id: product for product in sold if product.stripe_product_id}
