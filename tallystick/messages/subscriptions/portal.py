"""Stripe's own page for customers."""

from tallystick.messages.base import Command, Customer, Told, Url
from tallystick.messages.subscriptions.types import SERVICE


class PortalOpened(Told):
    """Where the customer is to be sent, within minutes."""

    portal_url: str


class OpenPortal(Command[PortalOpened], service=SERVICE, rejections=("no_stripe_customer",)):
    """Open Stripe's page where a customer looks after payment methods and invoices."""

    customer: Customer
    return_url: Url
