"""How a one-off charge is taxed: by the rates of the feature that is charged for, or the default ones."""

from dataclasses import dataclass
from typing import Any

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.tax_settings import TaxSettings


@dataclass(frozen=True, slots=True)
class ChargeTax:
    """Stripe's ids of the tax rates of a charge, and whether its amount includes tax (None: not said)."""

    rates: list[str]
    behavior: str | None

    def item_params(self, settings: TaxSettings) -> dict[str, Any]:
        """Return Stripe's parameters of the invoice item."""
        behavior = {"tax_behavior": self.behavior} if self.behavior is not None else {}
        return {**settings.of_item(self.rates), **behavior}


def charge_tax(catalog: CatalogView, feature_code: str | None) -> ChargeTax:
    """Return how a charge for a feature is taxed, or one for nothing in the catalog."""
    feature = catalog.feature(feature_code) if feature_code is not None else None
    if feature is not None:
        return ChargeTax(catalog.stripe_tax_rates(feature.tax_rates), feature.tax_behavior)
    default = [code for code, rate in catalog.tax_rates.items() if rate.default and not rate.archived]
    return ChargeTax(catalog.stripe_tax_rates(default), None)
