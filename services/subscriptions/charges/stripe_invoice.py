"""A charge in Stripe: an invoice with one line, finalized and paid at once, or voided.

Every step first checks how far an earlier run came, so that a run after a crash continues there, even long
after Stripe has forgotten the idempotency keys.
"""

from collections.abc import Callable
from typing import Any

import stripe
from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.charges.charge_tax import ChargeTax
from services.subscriptions.domain.invoices import REFERENCE_KEY
from services.subscriptions.domain.stripe_objects import Json
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.payment_methods import saved_payment_method
from shared.errors import Rejected

CHARGE_ID_KEY = "tallystick_charge_id"
"""Metadata key of an invoice: the id of its charge."""
RECENT_INVOICES = 100
"""How many recent invoices are searched for that of an earlier run, which was minutes or a day ago."""

Keys = Callable[[str], str]
"""Returns the idempotency key of a step."""


class ChargeIntent(BaseModel):
    """A charge to make; the amount is in the currency's minor unit."""

    model_config = ConfigDict(frozen=True)

    charge_id: str
    customer: str
    stripe_customer_id: str
    amount: int
    currency: str
    description: str
    reference: str
    tax_rates: list[str] = Field(default=[])
    tax_behavior: str | None = None


async def charge_in_stripe(gateway: StripeGateway, intent: ChargeIntent, keys: Keys) -> Json:
    """Charge the saved payment method and return the paid invoice.

    Raises Rejected `payment_method_required` and `payment_failed`; then no invoice is left that could be
    paid.
    """
    invoice = await _find_earlier_invoice(gateway, intent)
    if invoice is None:
        method = await saved_payment_method(gateway, intent.stripe_customer_id)
        if method is None:
            raise no_saved_payment_method(intent.customer)
        invoice = await _create_draft(gateway, intent, method.stripe_id, keys)
    if invoice["status"] == "draft":
        invoice = await _finalize(gateway, intent, invoice, keys)
    if invoice["status"] == "open":
        invoice = await _pay(gateway, intent, invoice, keys)
    if invoice["status"] != "paid":
        raise _payment_failed(intent, invoice, "It was made void after an earlier attempt.", None)
    return invoice


def no_saved_payment_method(token: str) -> Rejected:
    """Build the rejection of a charge to a customer without a saved payment method."""
    return Rejected(
        "payment_method_required",
        "The customer has no saved payment method. Send them to the portal to save one.",
        {"customer": token},
    )


async def _find_earlier_invoice(gateway: StripeGateway, intent: ChargeIntent) -> Json | None:
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoices.list_async(
            {"customer": intent.stripe_customer_id, "limit": RECENT_INVOICES}
        )
    listed = (invoice.to_dict() for invoice in page.data)
    ours = (each for each in listed if (each.get("metadata") or {}).get(CHARGE_ID_KEY) == intent.charge_id)
    return next(ours, None)


async def _create_draft(gateway: StripeGateway, intent: ChargeIntent, method: str, keys: Keys) -> Json:
    params: dict[str, Any] = {
        "customer": intent.stripe_customer_id,
        "currency": intent.currency,
        "collection_method": "charge_automatically",
        # Stripe would retry for days; the caller gets the failure at once instead.
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "default_payment_method": method,
        "description": intent.description,
        "metadata": {CHARGE_ID_KEY: intent.charge_id, REFERENCE_KEY: intent.reference},
        **gateway.tax.of_owner(),
    }
    async with gateway.calls(), stripe_rejections():
        made = await gateway.api.invoices.create_async(
            params,  # type: ignore[arg-type]
            {"idempotency_key": keys("invoice")},
        )
    return made.to_dict()


async def _finalize(gateway: StripeGateway, intent: ChargeIntent, draft: Json, keys: Keys) -> Json:
    invoices = gateway.api.invoices
    try:
        async with gateway.calls(), stripe_rejections():
            if not draft["lines"]["data"]:
                await gateway.api.invoice_items.create_async(
                    _item_params(gateway, intent, draft),  # type: ignore[arg-type]
                    {"idempotency_key": keys("item")},
                )
            done = await invoices.finalize_invoice_async(
                draft["id"], {"auto_advance": False}, {"idempotency_key": keys("finalize")}
            )
    except Rejected:
        # The draft is useless, and Stripe must not finalize it.
        async with gateway.calls(), stripe_rejections():
            await invoices.delete_async(draft["id"])
        raise
    return done.to_dict()


def _item_params(gateway: StripeGateway, intent: ChargeIntent, draft: Json) -> dict[str, Any]:
    return {
        "customer": intent.stripe_customer_id,
        "invoice": draft["id"],
        "amount": intent.amount,
        "currency": intent.currency,
        "description": intent.description,
        **ChargeTax(intent.tax_rates, intent.tax_behavior).item_params(gateway.tax),
    }


async def _pay(gateway: StripeGateway, intent: ChargeIntent, invoice: Json, keys: Keys) -> Json:
    invoices = gateway.api.invoices
    refused: stripe.StripeError
    async with gateway.calls():
        try:
            paid = await invoices.pay_async(
                invoice["id"], {"off_session": True}, {"idempotency_key": keys("pay")}
            )
        except stripe.CardError as error:
            refused = error
        except stripe.InvalidRequestError as error:
            if error.code == "invoice_already_paid":
                return (await invoices.retrieve_async(invoice["id"])).to_dict()
            if error.code != "resource_missing":
                raise
            refused = error
        else:
            return paid.to_dict()
        await invoices.void_invoice_async(invoice["id"], {}, {"idempotency_key": keys("void")})
    decline = getattr(refused.error, "decline_code", None) or refused.code
    raise _payment_failed(intent, invoice, refused.user_message or str(refused), decline)


def _payment_failed(intent: ChargeIntent, invoice: Json, reason: str, decline_code: str | None) -> Rejected:
    return Rejected(
        "payment_failed",
        f"The payment did not succeed: {reason}",
        {
            "decline_code": decline_code,
            "reference": intent.reference,
            "stripe_invoice_id": invoice["id"],
        },
    )
