"""Saved payment methods, which can be charged while the customer is not present."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import stripe

from services.subscriptions.domain.stripe_objects import reference_id
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections


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


async def payment_method_of(
    gateway: StripeGateway, stripe_customer_id: str, stripe_subscription_id: str | None
) -> Mapping[str, Any] | None:
    """Return the payment method that pays for a subscription or, without one, for something new.

    A subscription without a payment method of its own is paid with the customer's default.
    """
    own = None
    if stripe_subscription_id is not None:
        async with gateway.calls(), stripe_rejections():
            found = await gateway.api.subscriptions.retrieve_async(stripe_subscription_id)
        own = reference_id(found.to_dict().get("default_payment_method"))
    saved = None if own else await saved_payment_method(gateway, stripe_customer_id)
    stripe_id = own or (saved.stripe_id if saved is not None else None)
    if stripe_id is None:
        return None
    async with gateway.calls(), stripe_rejections():
        return (await gateway.api.payment_methods.retrieve_async(stripe_id)).to_dict()


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
