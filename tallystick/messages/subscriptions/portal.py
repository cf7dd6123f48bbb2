"""Stripe's customer portal."""

from tallystick.messages.base import Command, Customer, TolerantModel, Url
from tallystick.messages.subscriptions.types import SERVICE


class PortalOpened(TolerantModel):
    """Portal page to redirect the customer to within a few minutes."""

    portal_url: str


class OpenPortal(Command[PortalOpened], service=SERVICE, rejections=("no_stripe_customer",)):
    """Open Stripe's customer portal, where a customer manages payment methods and invoices."""

    customer: Customer
    return_url: Url
