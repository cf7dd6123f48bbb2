"""The amount of a coming charge, which no event tells: asked for when a mail about it is written."""

from typing import Any

from shared.errors import Rejected, Unavailable
from shared.messaging.service_client import ServiceClient
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import UpcomingInvoice

KINDS_WITH_AMOUNT = frozenset({"trial_ending", "renewal_upcoming"})
ASK_SECONDS = 5.0
"""A mail without the amount is better than none."""


async def coming_amount(services: ServiceClient | None, facts: dict[str, Any], customer: str | None) -> Any:
    """Return the amount of a customer's next invoice, if that is the subscription's; else None."""
    if services is None or customer is None:
        return None
    question = UpcomingInvoice(customer=Customer.from_token(customer))
    try:
        invoice = (await services.ask(question, timeout_seconds=ASK_SECONDS)).invoice
    except (Rejected, Unavailable):
        return None
    if invoice.subscription_id != facts.get("subscription_id"):
        return None
    return {"amount": invoice.amount_due, "currency": invoice.currency}
