"""Stripe's saved payment methods: what can be charged while nobody is there."""

from dataclasses import dataclass

import stripe

from services.subscriptions.domain.stripe_objects import reference_id
from services.subscriptions.stripe.client import StripeGateway


@dataclass(frozen=True, slots=True)
class SavedPaymentMethod:
    """What a customer's charges go to."""

    stripe_id: str
    is_default: bool

    @property
    def explicit_id(self) -> str | None:
        """What a new subscription has to name to be charged to it: nothing where it is the default.

        A default that the customer changes later is then charged from then on.
        """
        return None if self.is_default else self.stripe_id


async def saved_payment_method(gateway: StripeGateway, stripe_customer_id: str) -> SavedPaymentMethod | None:
    """What a customer's charges go to: their default, else what they saved last; None without either."""
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
