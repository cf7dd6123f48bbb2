"""The installation's settings for tax: Stripe Tax, or the tax rates of the catalog.

Stripe accepts one of both for a subscription or invoice, never both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

TaxMode = Literal["none", "stripe_automatic"]
AddressCollection = Literal["auto", "required"]
AUTOMATIC: dict[str, Any] = {"automatic_tax": {"enabled": True}}
"""Stripe's parameters with which Stripe Tax computes the tax."""


@dataclass(frozen=True, slots=True)
class TaxSettings:
    """The installation's settings: who computes the tax, and what the checkout page asks for."""

    mode: TaxMode = "none"
    tax_id_collection: bool = False
    billing_address_collection: AddressCollection = "auto"

    @property
    def automatic(self) -> bool:
        """Whether Stripe Tax computes the tax of everything new."""
        return self.mode == "stripe_automatic"

    def of_owner(self) -> dict[str, Any]:
        """Return the parameters of a new subscription, invoice or preview."""
        return AUTOMATIC if self.automatic else {}

    def of_item(self, tax_rates: Iterable[str]) -> dict[str, Any]:
        """Return the parameters of an item with tax rates, which Stripe refuses beside automatic tax."""
        rates = list(tax_rates)
        return {"tax_rates": rates} if rates and not self.automatic else {}

    def of_checkout(self) -> dict[str, Any]:
        """Return the parameters of a checkout session of a customer: what is asked for is saved to them."""
        params = self.of_owner()
        saved: dict[str, str] = {}
        if self.tax_id_collection:
            params = params | {"tax_id_collection": {"enabled": True}}
            saved |= {"name": "auto", "address": "auto"}
        if self.automatic or self.billing_address_collection == "required":
            saved["address"] = "auto"
        if self.billing_address_collection == "required":
            params = params | {"billing_address_collection": "required"}
        return params | ({"customer_update": saved} if saved else {})
