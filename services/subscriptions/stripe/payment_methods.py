"""Saved payment methods, which can be charged while the customer is not present."""

from dataclasses import dataclass

import stripe

from services.subscriptions.domain.stripe_objects import reference_id
from services.subscriptions.stripe.client import StripeGateway


@dataclass(frozen=True, slots=True)
class SavedPaymentMethod:
    """The payment method that a customer's charges go to."""

    stripe_id: str
    is_default: bool

    @property
    def explicit_id(self) -> str | None:
        """The id to set on a new subscription: None for the customer's default.

        A subscription without its own payment method follows later changes of the default.
        """
        return None if self.is_default else self.stripe_id


async def saved_payment_method(gateway: StripeGateway, stripe_customer_id: str) -> SavedPaymentMethod | None:
    """Return a customer's default payment method, else the one saved last, else None."""
    async with gateway.calls():
        try:
            customer = await gateway.api.customers.retrieve_async(stripe_customer_id)
            settings = customer.to_dict().get("invoice_settings") or {}
            default = reference_id(settings.get("default_payment_method"))
            if default is not None:
                return SavedPaymentMethod(default, is_default=True)
            page = await gateway.api.payment_methods.list_async({"customer": stripe_customer_id, "limit": 1})
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                return None
            raise
        return SavedPaymentMethod(page.data[0].id, is_default=False) if page.data else None
