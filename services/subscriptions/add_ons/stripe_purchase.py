"""Buying an add-on in Stripe: a subscription on the saved card, or a checkout page."""

from dataclasses import dataclass
from typing import Any

import stripe
from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.domain.stripe_objects import (
    ADD_ON_ID_KEY,
    CHECKOUT_ID_KEY,
    CUSTOMER_KEY,
    StripeSubscription,
    read_subscription,
)
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.rejections import require_agreed_amount
from services.subscriptions.stripe.client import CheckoutPage, StripeGateway, stripe_rejections
from services.subscriptions.stripe.invoice_previews import preview_purchase
from services.subscriptions.stripe.payment_methods import saved_payment_method
from services.subscriptions.stripe.taxes import is_location_unknown
from shared.messaging.external_command import ExternalCommandSteps
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money

RECENT_SUBSCRIPTIONS = 100
"""How many subscriptions are searched for that of an earlier run, which was minutes or a day ago."""


class PurchaseIntent(BaseModel):
    """An add-on to buy; without a Stripe price it is free."""

    model_config = ConfigDict(frozen=True)

    add_on_id: str
    checkout_id: str
    customer: str
    email: str
    name: str | None
    stripe_customer_id: str | None
    stripe_price_id: str | None
    trial_days: int
    tax_rates: list[str] = Field(default=[])


@dataclass(frozen=True, slots=True)
class StripePurchase:
    """The result in Stripe: the paid subscription, or else a checkout page."""

    stripe_customer_id: str
    subscription: StripeSubscription | None = None
    page: CheckoutPage | None = None


async def purchase_in_stripe(
    gateway: StripeGateway, command: m.PurchaseAddOn, intent: PurchaseIntent, steps: ExternalCommandSteps
) -> StripePurchase:
    """Charge the saved card; without one, or if it is declined, open a checkout page."""
    stripe_customer_id = intent.stripe_customer_id
    if stripe_customer_id is None:
        made = await gateway.create_customer(
            intent.customer, email=intent.email, name=intent.name, key=steps.key("customer")
        )
        stripe_customer_id = made.stripe_customer_id
    subscription = await _find_earlier_subscription(gateway, intent, stripe_customer_id)
    if subscription is None:
        await _require_agreed_amount(gateway, command, intent, stripe_customer_id)
        subscription = await _subscribe_with_saved_card(
            gateway, intent, stripe_customer_id, steps.key("subscription")
        )
    if subscription is not None:
        return StripePurchase(stripe_customer_id, subscription=subscription)
    params = _page_params(command, intent, stripe_customer_id, gateway.tax)
    return StripePurchase(
        stripe_customer_id, page=await gateway.create_checkout(params, key=steps.key("checkout"))
    )


async def _require_agreed_amount(
    gateway: StripeGateway, command: m.PurchaseAddOn, intent: PurchaseIntent, stripe_customer_id: str
) -> None:
    """Raise Rejected `amount_changed` unless the buyer has agreed to the first invoice's amount."""
    if command.due_now is None or intent.stripe_price_id is None:
        return
    item = _item_params(intent, gateway.tax)
    preview = await preview_purchase(gateway, stripe_customer_id, item)
    amount = 0 if intent.trial_days else preview["amount_due"]
    require_agreed_amount(command.due_now, Money(amount=amount, currency=preview["currency"]))


async def _find_earlier_subscription(
    gateway: StripeGateway, intent: PurchaseIntent, stripe_customer_id: str
) -> StripeSubscription | None:
    """Find the subscription that an earlier, interrupted run created."""
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.subscriptions.list_async(
            {"customer": stripe_customer_id, "status": "all", "limit": RECENT_SUBSCRIPTIONS}
        )
    listed = (read_subscription(found.to_dict()) for found in page.data)
    return next((found for found in listed if found.add_on_id == intent.add_on_id), None)


async def _subscribe_with_saved_card(
    gateway: StripeGateway, intent: PurchaseIntent, stripe_customer_id: str, key: str
) -> StripeSubscription | None:
    """Create and pay the subscription.

    None if there is no card, if it is declined, or if the page must ask for an address to tax.
    """
    method = await saved_payment_method(gateway, stripe_customer_id)
    if method is None:
        return None
    params: dict[str, Any] = {
        "customer": stripe_customer_id,
        "items": [_item_params(intent, gateway.tax)],
        **gateway.tax.of_owner(),
        # Paid or not created: an open invoice beside a checkout page could lead to two payments.
        "payment_behavior": "error_if_incomplete",
        "off_session": True,
        "metadata": _metadata(intent),
    }
    if method.explicit_id is not None:
        params["default_payment_method"] = method.explicit_id
    if intent.trial_days:
        params["trial_period_days"] = intent.trial_days
    async with gateway.calls(), stripe_rejections():
        try:
            made = await gateway.api.subscriptions.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
        except stripe.CardError:
            return None
        except stripe.InvalidRequestError as error:
            if is_location_unknown(error):
                return None
            raise
        return read_subscription(made.to_dict())


def _page_params(
    command: m.PurchaseAddOn, intent: PurchaseIntent, stripe_customer_id: str, tax: TaxSettings
) -> dict[str, Any]:
    metadata = _metadata(intent)
    subscription: dict[str, Any] = {"metadata": metadata}
    if intent.trial_days:
        subscription["trial_period_days"] = intent.trial_days
    return {
        "mode": "subscription",
        "customer": stripe_customer_id,
        "client_reference_id": intent.customer,
        "line_items": [_item_params(intent, tax)],
        "success_url": command.success_url,
        "cancel_url": command.cancel_url,
        "metadata": metadata,
        "subscription_data": subscription,
        **tax.of_checkout(),
    }


def _item_params(intent: PurchaseIntent, tax: TaxSettings) -> dict[str, Any]:
    return {"price": intent.stripe_price_id, "quantity": 1, **tax.of_item(intent.tax_rates)}


def _metadata(intent: PurchaseIntent) -> dict[str, str]:
    return {
        ADD_ON_ID_KEY: intent.add_on_id,
        CHECKOUT_ID_KEY: intent.checkout_id,
        CUSTOMER_KEY: intent.customer,
    }
