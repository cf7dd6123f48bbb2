"""Collection of invoices: payment attempts, their effect on the invoice, and retries."""

from __future__ import annotations

from sandbox.stripe import payment_methods, payments
from sandbox.stripe.account import Account, Json, public
from sandbox.stripe.billing import invoicing
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.billing.settings import RETRY_DAYS
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.faults import StripeFault

RETRIED_REASONS = frozenset(["subscription_cycle", "subscription_update", "subscription_threshold"])
"""Billing reasons whose payment is retried; a first invoice is not, since its subscription expires
instead."""


def payment_method_for(account: Account, invoice: Json) -> str | None:
    """Return the payment method of the invoice, else of its subscription, else the customer's default."""
    subscription = account.peek("subscription", invoicing.subscription_of(invoice))
    customer = account.get("customer", invoice["customer"])
    return invoice["default_payment_method"] or payment_methods.default_for(account, customer, subscription)


def finalize(account: Account, invoice: Json) -> None:
    """Finalize the invoice and create the payment intent for an open one."""
    invoicing.finalize(account, invoice)
    if invoice["status"] == "open":
        params = {
            "amount": invoice["amount_due"],
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "payment_method": payment_method_for(account, invoice),
            "description": description_of(invoice),
            "setup_future_usage": "off_session" if invoicing.subscription_of(invoice) else None,
        }
        payments.new_intent(account, params, invoice["id"])


def attempt(
    account: Account, invoice: Json, payment_method: str | None = None, *, retry: bool = False
) -> None:
    """Try to collect an open invoice. The result is on the invoice; a decline does not raise.

    A card that requires authentication leaves the intent waiting, even if the customer is not present.
    """
    method = payment_method or payment_method_for(account, invoice)
    invoice["_retry"] = retry
    if method is None:
        on_failed(account, invoice)
        return
    payments.attempt(account, account.get("payment_intent", invoice["_intent"]), method)


def charge_first(account: Account, invoice: Json) -> Json | None:
    """Charge for an invoice that is created only if the payment succeeds.

    Returns the paid intent, or raises the fault.
    """
    if invoice["amount_due"] == 0:
        return None
    method = payment_method_for(account, invoice)
    if method is None:
        raise missing_payment_method()
    intent = payments.start_payment(
        account,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        payment_method=method,
        description=description_of(invoice),
        off_session=False,
    )
    if intent["status"] != "succeeded":
        raise intent_failure(intent, "subscription_payment_intent_requires_action")
    return intent


def settle_with(account: Account, invoice: Json, intent: Json | None) -> None:
    """Finalize an invoice that was paid by `charge_first`."""
    invoicing.finalize(account, invoice)
    if intent is not None:
        intent["_invoice"] = invoice["id"]
        on_intent(account, intent)


def description_of(invoice: Json) -> str:
    """Return Stripe's description of an invoice payment."""
    words = {"subscription_create": "Subscription creation", "manual": "Payment for Invoice"}
    return words.get(invoice["billing_reason"], "Subscription update")


def on_intent(account: Account, intent: Json) -> None:
    """Listener: update the invoice when its payment intent is created, paid, declined or waiting."""
    invoice_id = intent.get("_invoice")
    if invoice_id is None or account.peek("invoice", invoice_id) is None:
        return
    invoice = account.get("invoice", invoice_id)
    invoice["_intent"] = intent["id"]
    payment = payment_of(account, invoice, intent)
    if invoice["status"] not in ("open", "uncollectible"):
        return
    if intent["status"] == "succeeded":
        on_paid(account, invoice, payment)
    elif intent["status"] == "requires_action":
        _count_attempt(account, invoice)
        account.emit("invoice.payment_action_required", invoice)
        account.emit("invoice.payment_failed", invoice)
    elif intent.get("last_payment_error"):
        on_failed(account, invoice)


def on_paid(account: Account, invoice: Json, payment: Json) -> None:
    """Listener: mark the invoice of a succeeded payment intent as paid."""
    if invoice["attempt_count"] == 0 or invoice.get("_retry"):
        invoice["attempt_count"] += 1
    invoice["_retry"] = False
    now = account.now(invoice)
    payment.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        status_transitions={"canceled_at": None, "paid_at": now},
    )
    account.emit("invoice_payment.paid", payment)
    _save_default_payment_method(account, invoice)
    invoicing.mark_paid(account, invoice)


def on_failed(account: Account, invoice: Json) -> None:
    """Listener: count a failed attempt, schedule the next one and emit `invoice.payment_failed`."""
    _count_attempt(account, invoice)
    account.emit("invoice.payment_failed", invoice)


def payment_of(account: Account, invoice: Json, intent: Json) -> Json:
    """Return the invoice payment of an intent, creating it on first use."""
    if intent.get("_invoice_payment"):
        return account.get("invoice_payment", intent["_invoice_payment"])
    intent["_invoice_payment"] = account.new_id("inpay")
    return account.insert(
        {
            "id": intent["_invoice_payment"],
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": account.now(invoice),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def failure(account: Account, invoice: Json, waiting_code: str) -> StripeFault:
    """Return the fault of a failed attempt on the invoice (402)."""
    intent = account.peek("payment_intent", invoice.get("_intent"))
    tried = intent is not None and (intent["last_payment_error"] or intent["status"] == "requires_action")
    return intent_failure(intent, waiting_code) if intent is not None and tried else missing_payment_method()


def missing_payment_method() -> StripeFault:
    """Return the fault of an invoice without a payment method."""
    return StripeFault(
        "This customer has no attached payment source or default payment method. Please consider adding a"
        " default payment method. For more information, visit"
        " https://stripe.com/docs/billing/subscriptions/payment-methods-setting.",
        code="resource_missing",
    )


def intent_failure(intent: Json, waiting_code: str) -> StripeFault:
    """Return the fault of a payment intent that has not succeeded.

    Uses `waiting_code` when it requires action.
    """
    error = intent["last_payment_error"]
    if intent["status"] == "requires_action" or not error:
        return StripeFault(
            "The payment requires customer authentication before it can be completed.",
            status=402,
            type="card_error",
            code=waiting_code,
            payment_intent=public(intent),
        )
    return StripeFault(
        error["message"],
        status=402,
        type="card_error",
        code=error["code"],
        decline_code=error.get("decline_code"),
        payment_intent=public(intent),
        payment_method=error["payment_method"],
    )


def _count_attempt(account: Account, invoice: Json) -> None:
    """Count an attempt: always the first, later only automatic ones, which schedule the next retry."""
    counts = invoice["attempt_count"] == 0 or bool(invoice.get("_retry"))
    made = invoice["attempt_count"] + (1 if counts else 0)
    following = invoice["next_payment_attempt"]
    if counts:
        following = None
        if _is_retried(invoice) and made <= len(RETRY_DAYS):
            following = account.now(invoice) + RETRY_DAYS[made - 1] * DAY
    account.change(
        invoice, "invoice.updated", attempted=True, attempt_count=made, next_payment_attempt=following
    )
    invoice["_retry"] = False


def _save_default_payment_method(account: Account, invoice: Json) -> None:
    """Save the payment method of a paid invoice, as `save_default_payment_method=on_subscription` says."""
    subscription = account.peek("subscription", invoicing.subscription_of(invoice))
    if (
        subscription is None
        or subscription["payment_settings"]["save_default_payment_method"] != "on_subscription"
    ):
        return
    intent = account.get("payment_intent", invoice["_intent"])
    subscription = account.get("subscription", subscription["id"])
    with updating(account, subscription):
        subscription["default_payment_method"] = intent["payment_method"]


def _is_retried(invoice: Json) -> bool:
    return (
        invoice["collection_method"] == "charge_automatically"
        and invoice["auto_advance"]
        and invoice["billing_reason"] in RETRIED_REASONS
    )


def has_payment_method(account: Account, subscription: Json) -> bool:
    """Return whether a subscription has a payment method to charge."""
    customer = account.get("customer", subscription["customer"])
    return payment_methods.default_for(account, customer, subscription) is not None
