"""Notifications about invoices."""

from typing import Any

from services.notifications.domain.drafts import Draft
from tallystick.messages.subscriptions import InvoiceEvent, InvoiceSnapshot

RECHARGE_PREFIX = "recharge_"


def invoice_drafts(name: str, event: InvoiceEvent) -> list[Draft]:
    """Return the notifications of an invoice's event.

    A recharge has an invoice too; it is told as a recharge.
    """
    invoice = event.invoice
    token = invoice.customer.token
    if invoice.reference is not None and invoice.reference.startswith(RECHARGE_PREFIX):
        return []
    facts = _facts(invoice)
    if name == "paid" and invoice.amount_paid > 0:
        return [Draft("invoice_paid", invoice.invoice_id, token, token, facts)]
    if name == "paymentFailed" and invoice.status == "open":
        return [Draft("payment_failed", _attempt(invoice), token, token, facts)]
    if name == "paymentActionRequired" and invoice.status == "open":
        return [Draft("payment_action_required", _attempt(invoice), token, token, facts)]
    return []


def _attempt(invoice: InvoiceSnapshot) -> str:
    """Return the cause of notifications about one attempt to pay an invoice."""
    return f"{invoice.invoice_id}.{invoice.attempt_count}"


def _facts(invoice: InvoiceSnapshot) -> dict[str, Any]:
    currency = invoice.currency
    return {
        "subscription_id": invoice.subscription_id,
        "number": invoice.number,
        "amount": {"amount": invoice.amount_paid, "currency": currency},
        "due": {"amount": invoice.amount_due, "currency": currency},
        "attempts": invoice.attempt_count or None,
        "invoice_url": invoice.hosted_invoice_url or invoice.invoice_pdf,
    }
