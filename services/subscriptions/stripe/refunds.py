"""Calls to Stripe about refunds: the payment of an invoice, its refunds, and making one."""

from typing import Any

import stripe

from services.subscriptions.domain.refunds import REFUND_ID_KEY, STRIPE_REASONS, StripeRefund, read_refund
from services.subscriptions.domain.stripe_objects import Json, reference_id
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from shared.errors import Rejected

REFUNDS_LISTED = 100
"""The refunds of one payment that are read: one page of Stripe's list."""
_REJECTIONS = {
    "charge_already_refunded": ("already_refunded", "All that was paid is refunded in Stripe."),
    "charge_disputed": ("invoice_disputed", "The customer's bank has taken the payment back."),
}
"""Our codes for Stripe's error codes."""


async def find_invoice_of_payment(gateway: StripeGateway, payment_intent: str) -> Json | None:
    """Fetch the invoice that a payment intent paid; None for a payment without an invoice."""
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoice_payments.list_async(
            {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
        )
    invoice = reference_id(page.data[0].to_dict().get("invoice")) if page.data else None
    return await gateway.find_invoice(invoice) if invoice is not None else None


async def list_refunds(gateway: StripeGateway, payment_intent: str) -> list[Json]:
    """List the newest refunds of a payment intent."""
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.refunds.list_async(
            {"payment_intent": payment_intent, "limit": REFUNDS_LISTED}
        )
    return [refund.to_dict() for refund in page.data]


async def create_refund(
    gateway: StripeGateway, stripe_invoice_id: str, *, refund_id: str, amount: int, reason: str, key: str
) -> StripeRefund:
    """Refund an amount of the payment of an invoice; a refund that was made before with this id is returned.

    Raises Rejected `invoice_not_paid`, `already_refunded`, `amount_too_large` and `invoice_disputed`.
    """
    payment_intent = await _paid_by(gateway, stripe_invoice_id)
    for made in await list_refunds(gateway, payment_intent):
        if (made.get("metadata") or {}).get(REFUND_ID_KEY) == refund_id:
            return read_refund(made)
    params: dict[str, Any] = {
        "payment_intent": payment_intent,
        "amount": amount,
        "metadata": {REFUND_ID_KEY: refund_id, "reason": reason},
    }
    if reason in STRIPE_REASONS:
        params["reason"] = reason
    async with gateway.calls(), stripe_rejections():
        try:
            refund = await gateway.api.refunds.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
        except stripe.InvalidRequestError as error:
            raise _rejection(error) from error
        return read_refund(refund.to_dict())


async def _paid_by(gateway: StripeGateway, stripe_invoice_id: str) -> str:
    """Return the payment intent that paid an invoice.

    Raises Rejected `invoice_not_paid` if it was paid outside of Stripe.
    """
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoice_payments.list_async(
            {"invoice": stripe_invoice_id, "status": "paid", "limit": 1}
        )
    paid = page.data[0].to_dict() if page.data else {}
    payment_intent = reference_id((paid.get("payment") or {}).get("payment_intent"))
    if payment_intent is None:
        raise Rejected(
            "invoice_not_paid",
            "The invoice was not paid through Stripe, so Stripe cannot refund it.",
            {"stripe_invoice_id": stripe_invoice_id},
        )
    return payment_intent


def _rejection(error: stripe.InvalidRequestError) -> Exception:
    if error.code in _REJECTIONS:
        code, message = _REJECTIONS[error.code]
        return Rejected(code, message, {"stripe_code": error.code})
    if error.param == "amount":
        return Rejected(
            "amount_too_large", f"Stripe refuses it: {error.user_message or error}", {"left": None}
        )
    return error
