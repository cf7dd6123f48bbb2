"""Following a new default payment method from the portal, the dashboard or a setup: it pays what is open."""

from services.subscriptions.domain.open_invoices import new_payment_method
from services.subscriptions.stripe_webhooks.context import EventContext
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import PayOpenInvoices


def pay_open_invoices(context: EventContext, token: str) -> None:
    """Send a command that pays a customer's open invoices if the event sets a new default payment method.

    Paying calls Stripe, which this transaction must not wait for.
    """
    event = context.event
    method = new_payment_method(event.type, event.object, event.previous)
    if method is not None:
        context.work.send(
            PayOpenInvoices(
                command_id=f"{event.event_id[:80]}.pay_open",
                requested_by="subscriptions",
                customer=Customer.from_token(token),
                payment_method=method,
            )
        )
