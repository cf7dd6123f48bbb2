"""Stripe's saved payment methods: what can be charged while nobody is there."""

import stripe

from services.subscriptions.domain.stripe_objects import reference_of
from services.subscriptions.stripe_gateway import StripeGateway


async def saved_payment_method(gateway: StripeGateway, stripe_customer_id: str) -> str | None:
    """What a customer's charges go to: their default, else what they saved last; None without either."""
    default = await default_payment_method(gateway, stripe_customer_id)
    if default is not None:
        return default
    async with gateway.calls():
        try:
            page = await gateway.client.v1.payment_methods.list_async(
                {"customer": stripe_customer_id, "limit": 1}
            )
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                return None
            raise
        return page.data[0].id if page.data else None


async def unless_default(gateway: StripeGateway, stripe_customer_id: str, method: str) -> str | None:
    """What a new subscription must name to be charged to `method`: nothing where that is the default.

    A default that the customer changes later is then charged from then on.
    """
    return None if method == await default_payment_method(gateway, stripe_customer_id) else method


async def default_payment_method(gateway: StripeGateway, stripe_customer_id: str) -> str | None:
    """What Stripe charges where nothing else is named; None where there is none, or no such customer."""
    async with gateway.calls():
        try:
            customer = await gateway.client.v1.customers.retrieve_async(stripe_customer_id)
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                return None
            raise
        settings = customer.to_dict().get("invoice_settings") or {}
        return reference_of(settings.get("default_payment_method"))
